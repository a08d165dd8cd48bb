#include "titan/parallel/clip_grad_norm.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <limits>

namespace titan::parallel {
namespace {

nn::Parameter without_gradient(std::int64_t size) {
  return nn::Parameter(at::ones({size}).set_requires_grad(true));
}

nn::Parameter with_gradient(const at::Tensor& gradient) {
  nn::Parameter parameter = without_gradient(gradient.numel());
  parameter.tensor.mutable_grad() = gradient;
  return parameter;
}

/// The norm in a job of one rank.
float norm_of(const Parameters& parameters) {
  return total_grad_norm(parameters, comm::RankContext()).item<float>();
}

TEST(ClipGradNorm, ScalesOnlyWhatExceedsTheLimit) {
  nn::Parameter threes = with_gradient(at::full({4}, 3.0));
  nn::Parameter fours = with_gradient(at::full({4}, 4.0));
  nn::Parameter unused = without_gradient(7);
  const Parameters parameters = {&threes, &fours, &unused};
  const at::Tensor norm = total_grad_norm(parameters, comm::RankContext());
  EXPECT_FLOAT_EQ(norm.item<float>(), 10);
  clip_grads_with_norm_(parameters, 100, norm);
  EXPECT_EQ(threes.tensor.grad()[0].item<float>(), 3)
      << "below the limit nothing changes, not a bit";
  clip_grads_with_norm_(parameters, 1, norm);
  EXPECT_FLOAT_EQ(norm_of(parameters), 1);
  EXPECT_FALSE(unused.tensor.grad().defined());
}

TEST(ClipGradNorm, WithoutGradientsTheNormIsZero) {
  nn::Parameter unused = without_gradient(2);
  EXPECT_EQ(norm_of({&unused}), 0);
  EXPECT_EQ(norm_of({}), 0);
}

TEST(ClipGradNorm, ANonFiniteGradientShowsInTheNorm) {
  nn::Parameter parameter = with_gradient(at::full({2}, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_FALSE(std::isfinite(norm_of({&parameter})));
}

}  // namespace
}  // namespace titan::parallel
