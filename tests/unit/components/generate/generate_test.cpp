#include "titan/components/generate/generate.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/log.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <set>

#include "support/logits_only.h"
#include "titan/base/errors.h"

namespace titan::components {
namespace {

using Ids = std::vector<std::int64_t>;

/// Surely continues n with n + 1.
at::Tensor count_up(const at::Tensor& tokens) {
  return at::one_hot(tokens + 1, 100).to(at::kFloat) * 1000;
}

using LogitsFunction = std::function<at::Tensor(const at::Tensor& tokens)>;

class Function : public test::LogitsOnly {
 public:
  explicit Function(LogitsFunction function) : function_(std::move(function)) {}
  at::Tensor logits(const at::Tensor& tokens, std::shared_ptr<nn::KeyValueCaches>) override {
    return function_(tokens);
  }

 private:
  LogitsFunction function_;
};

Ids run(const LogitsFunction& logits, const Ids& prompt, const SamplingOptions& options,
        std::uint64_t seed = 1) {
  Function model(logits);
  return generate(model, prompt, options, at::make_generator<at::CPUGeneratorImpl>(seed));
}

TEST(Generate, PutsTheChosenTokensBehindThePrompt) {
  for (const double temperature : {0.0, 1.0}) {
    SamplingOptions options;
    options.temperature = temperature;
    options.max_new_tokens = 4;
    EXPECT_EQ(run(count_up, {7, 8}, options), (Ids{9, 10, 11, 12}));
    options.eos_id = 11;
    EXPECT_EQ(run(count_up, {7, 8}, options), (Ids{9, 10}));
  }
}

TEST(Generate, TheModelSeesNoMoreThanItsContext) {
  SamplingOptions options;
  options.context = 3;
  options.max_new_tokens = 5;
  std::int64_t longest = 0;
  run(
      [&](const at::Tensor& tokens) {
        longest = std::max(longest, tokens.size(1));
        return count_up(tokens);
      },
      {1, 2, 3, 4, 5}, options);
  EXPECT_EQ(longest, 3);
}

TEST(Generate, SamplesInProportionAndRepeatably) {
  // Logits 0 and ln 3: odds of one to three.
  const LogitsFunction logits = [](const at::Tensor& tokens) {
    at::Tensor result = at::zeros({1, tokens.size(1), 2});
    result.select(2, 1).fill_(std::log(3.0));
    return result;
  };
  SamplingOptions options;
  options.max_new_tokens = 2000;
  options.context = 1;
  const Ids ids = run(logits, {0}, options);
  EXPECT_NEAR(static_cast<double>(std::count(ids.begin(), ids.end(), 1)) / 2000, 0.75, 0.04);
  EXPECT_EQ(run(logits, {0}, options), ids);
  EXPECT_NE(run(logits, {0}, options, 2), ids);
}

TEST(Generate, AnyTemperatureIsOne) {
  SamplingOptions options;
  options.max_new_tokens = 3;
  for (const double temperature : {5e-324, 1e-60, 1e-3}) {
    options.temperature = temperature;
    EXPECT_EQ(run(count_up, {7}, options), (Ids{8, 9, 10})) << temperature;
  }
  options.temperature = 1e300;
  EXPECT_EQ(run(count_up, {7}, options).size(), 3);
}

TEST(Generate, LogitsThatAreNotFiniteAreAnError) {
  const LogitsFunction logits = [](const at::Tensor& tokens) {
    return count_up(tokens) / at::zeros({1});
  };
  for (const double temperature : {0.0, 1.0}) {
    SamplingOptions options;
    options.temperature = temperature;
    EXPECT_THROW(run(logits, {7}, options), RunError);
  }
}

TEST(Generate, TopKDrawsFromTheLikeliestOnly) {
  // Ids 0 to 4 in the odds 1 : 2 : 3 : 2.5 : 1.
  const LogitsFunction logits = [](const at::Tensor& tokens) {
    return at::log(at::tensor({1.0, 2.0, 3.0, 2.5, 1.0})).expand({1, tokens.size(1), 5});
  };
  SamplingOptions options;
  options.max_new_tokens = 400;
  options.context = 1;
  const auto drawn = [&](std::int64_t top_k) {
    options.top_k = top_k;
    const Ids ids = run(logits, {0}, options);
    return std::set<std::int64_t>(ids.begin(), ids.end());
  };
  EXPECT_EQ(drawn(1), (std::set<std::int64_t>{2}));
  EXPECT_EQ(drawn(3), (std::set<std::int64_t>{1, 2, 3}));
  EXPECT_EQ(drawn(0).size(), 5);
  EXPECT_EQ(drawn(99).size(), 5) << "more than there are: all";
}

}  // namespace
}  // namespace titan::components
