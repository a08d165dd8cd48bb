#include "titan/components/generate.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <map>

namespace titan::components {
namespace {

using Ids = std::vector<std::int64_t>;

/// Surely continues n with n + 1.
at::Tensor count_up(const at::Tensor& tokens) {
  return at::one_hot(tokens + 1, 100).to(at::kFloat) * 1000;
}

Ids run(const LogitsFunction& logits, const Ids& prompt, const SamplingOptions& options,
        std::uint64_t seed = 1) {
  return generate(logits, prompt, options, at::kCPU,
                  at::make_generator<at::CPUGeneratorImpl>(seed));
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

}  // namespace
}  // namespace titan::components
