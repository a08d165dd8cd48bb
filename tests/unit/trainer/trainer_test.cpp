// The trainer in this process: a model and a data set small enough to follow every step.
#include "titan/trainer/trainer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/components/loss/loss.h"
#include "titan/components/lr_scheduler/lr_scheduler.h"
#include "titan/components/optimizer/optimizer.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/nn/linear.h"
#include "titan/protocols/model_converter.h"
#include "titan/tools/signals.h"
#include "titan/tools/startup_times.h"

namespace titan::trainer {
namespace {

using test::message_of;
using ::testing::HasSubstr;
using ::testing::SizeIs;

/// Counts from 0 modulo 50, `batches` times. The label `ignored` is not trained on.
class CountingLoader : public protocols::DataLoader {
 public:
  CountingLoader(std::int64_t batches, std::int64_t rows, std::int64_t seq_len,
                 std::int64_t ignored)
      : left_(batches), rows_(rows), seq_len_(seq_len), ignored_(ignored) {}
  bool next(protocols::Batch& batch) override {
    if (left_-- == 0) return false;
    batch = {rows_, seq_len_, {}, {}, {}};
    for (std::int64_t i = 0; i < rows_ * seq_len_; ++i) {
      batch.input.push_back((next_ + i) % 50);
      const std::int64_t label = (next_ + i + 1) % 50;
      batch.labels.push_back(label == ignored_ ? protocols::kIgnoreIndex : label);
    }
    next_ += rows_ * seq_len_;
    return true;
  }
  protocols::DataPosition position() const override { return {}; }
  void restart() override {}
  void restore(const std::vector<protocols::DataPosition>&) override {}

 private:
  std::int64_t left_, rows_, seq_len_, ignored_;
  std::int64_t next_ = 0;
};

/// Keeps what it is told.
class RecordingMetrics : public protocols::MetricsProcessor {
 public:
  explicit RecordingMetrics(std::vector<protocols::StepMetrics>& steps) : steps_(steps) {}
  bool should_log(std::int64_t) const override { return true; }
  void add_batch(std::int64_t, double) override {}
  void log(const protocols::StepMetrics& metrics) override { steps_.push_back(metrics); }
  void log_validation(const protocols::ValidationMetrics&) override {}
  void close() override {}

 private:
  std::vector<protocols::StepMetrics>& steps_;
};

class NoMemory : public protocols::MemoryMonitor {
 public:
  protocols::MemoryPeak peak() override { return {}; }
  void reset_peak() override {}
};

class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() {
    config_.model.name = "trainer_test_" + std::to_string(++count_);
    config_.model.flavor = "tiny";
    config_.training.local_batch_size = 2;
    config_.training.seq_len = 16;
    config_.training.steps = 6;
    config_.training.mixed_precision_param = config::DType::kFloat32;
    config_.optimizer.lr = 0.01;
    config_.lr_scheduler.warmup_steps = 0;
    config_.activation_checkpoint.mode = config::ActivationCheckpointMode::kNone;
    config_.job.dump_folder = folder_.path();
  }

  /// Trains on `batches` microbatches with the model's spec, changed by the test where it wants.
  std::vector<protocols::StepMetrics> train(std::int64_t batches) {
    std::vector<protocols::StepMetrics> steps;
    protocols::TextBuilders builders;
    builders.build_optimizers = [](const protocols::ModelParts& parts, const comm::RankContext&,
                                   const config::JobConfig& c) {
      return components::build_optimizers(protocols::named_parameters(parts), c.optimizer);
    };
    builders.build_lr_schedulers = [](protocols::Optimizers& optimizers,
                                      const config::JobConfig& c) {
      return components::build_lr_schedulers(optimizers, c.lr_scheduler, c.training.steps);
    };
    builders.build_dataloader = [batches, ignored = ignored_label_](
                                    protocols::DataPurpose, std::int64_t, std::int64_t,
                                    const protocols::Tokenizer*, const config::JobConfig& c) {
      return std::make_unique<CountingLoader>(batches, c.training.local_batch_size,
                                              c.training.seq_len, ignored);
    };
    builders.build_loss = [this](const comm::RankContext&, const config::JobConfig&) {
      return loss_;
    };
    builders.build_metrics_processor = [&](const protocols::MetricsSetup&,
                                           const config::JobConfig&) {
      return std::make_unique<RecordingMetrics>(steps);
    };
    protocols::register_train_spec(config_.model.name, models::llama3::train_spec(builders));
    comm::RankContext context;
    context.generator = at::make_generator<at::CPUGeneratorImpl>(1);
    Trainer trainer(config_, {context, {"cpu", "test", 1}, memory_, startup_times_});
    const tools::StopSignals stop_signals;
    trainer.train(stop_signals);
    return steps;
  }

  static inline int count_ = 0;
  test::TemporaryFolder folder_;
  NoMemory memory_;
  tools::StartupTimes startup_times_;
  config::JobConfig config_;
  protocols::LossFunction loss_ = components::cross_entropy_loss;
  std::int64_t ignored_label_ = -1;  // none
};

TEST_F(TrainerTest, LearnsToCount) {
  config_.training.steps = 40;
  const auto steps = train(40);
  ASSERT_THAT(steps, SizeIs(40));
  EXPECT_LT(steps.back().loss, steps.front().loss / 2);
  EXPECT_EQ(steps.back().n_tokens_seen, 40 * 2 * 16);
  EXPECT_EQ(steps.front().lr, 0.01);
}

TEST_F(TrainerTest, CancelsTheStepTheDataDoesNotSufficeFor) {
  config_.training.global_batch_size = 4;  // two microbatches a step
  EXPECT_THAT(train(5), SizeIs(2));
}

TEST_F(TrainerTest, IgnoredLabelsCountNeitherInTheLossNorInItsDivisor) {
  ignored_label_ = 7;
  double valid_loss = 0;
  loss_ = [&](const at::Tensor& prediction, const at::Tensor& labels) {
    const auto valid = labels.ne(protocols::kIgnoreIndex).sum().item<double>();
    EXPECT_LT(valid, static_cast<double>(labels.numel()));
    const at::Tensor sum = components::cross_entropy_loss(prediction, labels);
    valid_loss = sum.item<double>() / valid;
    return sum;
  };
  config_.training.steps = 1;
  const double reported = train(1).front().loss;
  EXPECT_NEAR(reported, valid_loss, 1e-6);
}

TEST_F(TrainerTest, StopsAtANonFiniteLossAndNamesParameters) {
  loss_ = [](const at::Tensor& prediction, const at::Tensor& labels) {
    return components::cross_entropy_loss(prediction, labels) *
           std::numeric_limits<double>::infinity();
  };
  const std::string message = message_of<RunError>([&] { train(6); });
  EXPECT_THAT(message, HasSubstr("Step 1: loss inf"));
  EXPECT_THAT(message, HasSubstr("tok_embeddings.weight"));
}

TEST_F(TrainerTest, ASkippedStepLeavesTheWeightsAlone) {
  config_.debug.on_nan = config::OnNan::kSkip;
  int calls = 0;
  loss_ = [&calls](const at::Tensor& prediction, const at::Tensor& labels) {
    const double factor = ++calls == 2 ? std::numeric_limits<double>::quiet_NaN() : 1.0;
    return components::cross_entropy_loss(prediction, labels) * factor;
  };
  const auto steps = train(6);
  ASSERT_THAT(steps, SizeIs(6));
  EXPECT_TRUE(std::isnan(steps[1].loss));
  EXPECT_LT(steps[5].loss, steps[0].loss) << "training goes on from sound weights";
}

TEST_F(TrainerTest, SkippingEveryStepEndsTheRun) {
  config_.debug.on_nan = config::OnNan::kSkip;
  config_.training.steps = 30;
  loss_ = [](const at::Tensor& prediction, const at::Tensor& labels) {
    return components::cross_entropy_loss(prediction, labels) *
           std::numeric_limits<double>::quiet_NaN();
  };
  EXPECT_THAT(message_of<RunError>([&] { train(30); }), HasSubstr("11th such step in a row"));
}

TEST_F(TrainerTest, NoStepsToTrainIsNoError) {
  config_.training.steps = 0;
  EXPECT_THAT(train(6), SizeIs(0));
}

/// Halves what a model makes of its tokens, and counts.
class Halving : public protocols::ModelConverter {
 public:
  explicit Halving(std::int64_t& steps) : steps_(steps) {}
  void convert(protocols::ModelProtocol& model) override {
    EXPECT_TRUE(model.named_parameters().front().tensor().is_meta());
    model.submodule("output").add_post_forward_hook(
        [](nn::Module&, const nn::Inputs&, nn::Tensors& outputs) { outputs[0] = outputs[0] / 2; });
  }
  void after_optimizer_step(const protocols::ModelParts& parts) override {
    EXPECT_EQ(parts.size(), 1);
    ++steps_;
  }

 private:
  std::int64_t& steps_;
};

TEST_F(TrainerTest, ConvertersChangeTheModelAndSeeEveryStep) {
  static std::int64_t steps = 0;
  protocols::register_model_converter("halving",
                                      [](const config::JobConfig&, const comm::RankContext&) {
                                        return std::make_unique<Halving>(steps);
                                      });
  const auto plain = train(6);
  config_.model.name += "_converted";
  config_.model.converters = {"halving"};
  const auto converted = train(6);
  EXPECT_EQ(steps, 6);
  EXPECT_NE(converted.front().loss, plain.front().loss);
  EXPECT_LT(converted.back().loss, converted.front().loss);
}

TEST_F(TrainerTest, TheConverterOfTheDocsTrains) {
#include "docs/converter_of_ones_own.h"
  const auto plain = train(6);
  config_.model.name += "_converted";
  config_.model.converters = {"mine.clamped"};
  const auto converted = train(6);
  EXPECT_NE(converted.front().loss, plain.front().loss);
  EXPECT_LT(converted.back().loss, converted.front().loss);
}

/// Checkpoints every 2 steps; steps whose loss is NaN, counted over all that are tried.
class Rollback : public TrainerTest {
 protected:
  Rollback() {
    config_.debug.on_nan = config::OnNan::kRollback;
    config_.checkpoint.enable = true;
    config_.checkpoint.interval = 2;
  }

  std::vector<protocols::StepMetrics> train_with_nan_at(std::set<int> tries) {
    loss_ = [this, tries](const at::Tensor& logits, const at::Tensor& labels) {
      const double factor =
          tries.contains(++tried_) ? std::numeric_limits<double>::quiet_NaN() : 1.0;
      return components::cross_entropy_loss(logits, labels) * factor;
    };
    return train(100);
  }

  int tried_ = 0;
};

std::vector<std::int64_t> numbers(const std::vector<protocols::StepMetrics>& steps) {
  std::vector<std::int64_t> result;
  for (const auto& step : steps) result.push_back(step.step);
  return result;
}

TEST_F(Rollback, GoesBackToTheNewestCheckpointAndOnBehindTheStepThatFailed) {
  const auto steps = train_with_nan_at({4});
  EXPECT_THAT(numbers(steps), testing::ElementsAre(1, 2, 3, 3, 4, 5, 6));
  EXPECT_NE(steps[2].loss, steps[3].loss) << "other data";
  EXPECT_EQ(steps[2].lr, steps[3].lr);
}

TEST_F(Rollback, ACheckpointThatFailsAtOnceIsNotGoneBackToAgain) {
  // Step 5 fails, and fails again right behind checkpoint 4: then it is 2.
  const auto steps = train_with_nan_at({5, 6});
  EXPECT_THAT(numbers(steps), testing::ElementsAre(1, 2, 3, 4, 3, 4, 5, 6));
}

TEST_F(Rollback, GivesUpWhereNothingHelps) {
  EXPECT_THAT(message_of<RunError>([&] { train_with_nan_at({1}); }),
              HasSubstr("there is no earlier checkpoint"));
  std::set<int> from_the_fourth;
  for (int i = 4; i < 100; ++i) from_the_fourth.insert(i);
  tried_ = 0;
  config_.job.dump_folder = folder_ / "other";
  config_.model.name += "_again";
  EXPECT_THAT(message_of<RunError>([&] { train_with_nan_at(from_the_fourth); }),
              HasSubstr("there is no earlier checkpoint"));
}

}  // namespace
}  // namespace titan::trainer
