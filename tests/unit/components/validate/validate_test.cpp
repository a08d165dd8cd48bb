#include "titan/components/validate/validate.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/config/training.h"

namespace titan::components {
namespace {

/// Batches of one row whose input is their number. Batch n has n + 1 labels, of which one is not
/// trained on; without an `end` it goes on for ever.
class Numbers final : public protocols::DataLoader {
 public:
  explicit Numbers(std::int64_t end) : end_(end) {}
  bool next(protocols::Batch& batch) override {
    if (next_ == end_) return false;
    batch = {};
    batch.rows = 1;
    batch.seq_len = next_ + 1;
    batch.input.assign(static_cast<std::size_t>(next_ + 1), next_);
    batch.labels = batch.input;
    batch.labels.front() = protocols::kIgnoreIndex;
    ++next_;
    return true;
  }
  protocols::DataPosition position() const override { return {}; }
  void restart() override { next_ = 1; }
  void restore(const std::vector<protocols::DataPosition>&) override {}

 private:
  std::int64_t next_ = 1;
  std::int64_t end_;
};

class Recording final : public protocols::MetricsProcessor {
 public:
  bool should_log(std::int64_t) const override { return true; }
  void add_batch(std::int64_t count, double) override { tokens += count; }
  void log(const protocols::StepMetrics&) override {}
  void log_validation(const protocols::ValidationMetrics& metrics) override {
    steps.push_back(metrics.step);
    losses.push_back(metrics.loss);
  }
  void close() override {}

  std::vector<std::int64_t> steps;
  std::vector<double> losses;
  std::int64_t tokens = 0;
};

struct Fixture {
  explicit Fixture(std::int64_t end, std::int64_t steps) {
    config.freq = 10;
    config.steps = steps;
    validator = build_validator(
        {std::make_unique<Numbers>(end),
         [this](protocols::Batch& batch) {
           EXPECT_FALSE(c10::GradMode::is_enabled());
           seen.push_back(batch.input.front());
           // Every valid token has the loss `input`.
           return at::scalar_tensor(static_cast<double>(batch.input.front() * (batch.seq_len - 1)),
                                    at::kFloat);
         },
         metrics},
        config);
  }
  config::Validation config;
  Recording metrics;
  std::vector<std::int64_t> seen;
  std::unique_ptr<protocols::Validator> validator;
};

constexpr auto never = [] { return false; };

TEST(Validator, ComesAfterTheFirstStepAndEveryNth) {
  const Fixture fixture(4, 1);
  for (std::int64_t step = 1; step <= 40; ++step) {
    EXPECT_EQ(fixture.validator->should_validate(step), step == 1 || step % 10 == 0) << step;
  }
}

TEST(Validator, WeighsTokensAlikeNotBatches) {
  Fixture fixture(4, -1);
  fixture.validator->validate(10, never);
  EXPECT_EQ(fixture.seen, (std::vector<std::int64_t>{1, 2, 3}));
  EXPECT_DOUBLE_EQ(fixture.metrics.losses.at(0), (1.0 * 1 + 2 * 2 + 3 * 3) / (1 + 2 + 3));
  EXPECT_EQ(fixture.metrics.steps, (std::vector<std::int64_t>{10}));
}

TEST(Validator, AllOfTheDataMeansTheSameDataEveryTime) {
  Fixture fixture(4, -1);
  for (const std::int64_t step : {1, 10, 20}) fixture.validator->validate(step, never);
  EXPECT_EQ(fixture.metrics.losses.at(0), fixture.metrics.losses.at(1));
  EXPECT_EQ(fixture.metrics.losses.at(0), fixture.metrics.losses.at(2));
}

TEST(Validator, ANumberOfStepsGoesOnWhereTheLastOneFetched) {
  Fixture fixture(100, 2);
  fixture.validator->validate(1, never);
  fixture.validator->validate(10, never);
  EXPECT_EQ(fixture.seen, (std::vector<std::int64_t>{1, 2, 4, 5})) << "3 was fetched and left out";
}

TEST(Validator, ShortDataIsTakenAsFarAsItGoes) {
  Fixture fixture(3, 50);
  fixture.validator->validate(1, never);
  EXPECT_EQ(fixture.seen, (std::vector<std::int64_t>{1, 2}));
}

TEST(Validator, StopsBetweenBatchesWithoutAReport) {
  Fixture fixture(100, 50);
  fixture.validator->validate(1, [&] { return fixture.seen.size() == 2; });
  EXPECT_EQ(fixture.seen, (std::vector<std::int64_t>{1, 2}));
  EXPECT_TRUE(fixture.metrics.losses.empty());
}

TEST(Validator, NoTokensAreAnErrorNotANaN) {
  Fixture fixture(1, -1);
  EXPECT_NE(test::message_of<RunError>([&] {
              fixture.validator->validate(7, never);
            }).find("the validation of step 7 found no tokens"),
            std::string::npos);
}

TEST(Validator, SkippingOneReadsWhatItWouldHaveRead) {
  Fixture whole(-1, 2);
  Numbers loader(-1);
  skip_validation(loader, 2);
  whole.validator->validate(1, never);
  whole.seen.clear();
  whole.validator->validate(10, never);
  protocols::Batch batch;
  ASSERT_TRUE(loader.next(batch));
  EXPECT_EQ(batch.input.front(), whole.seen.front());
  Numbers short_one(2);
  skip_validation(short_one, 5);
  EXPECT_FALSE(short_one.next(batch));
}

}  // namespace
}  // namespace titan::components
