#include "titan/parallel/clip_grad_norm.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <limits>

namespace titan::parallel {
namespace {

at::Tensor with_gradient(const at::Tensor& gradient) {
  at::Tensor parameter = at::ones(gradient.sizes()).set_requires_grad(true);
  parameter.mutable_grad() = gradient;
  return parameter;
}

TEST(ClipGradNorm, ScalesOnlyWhatExceedsTheLimit) {
  const std::vector<at::Tensor> parameters = {with_gradient(at::full({4}, 3.0)),
                                              with_gradient(at::full({4}, 4.0)), at::ones({7})};
  const at::Tensor norm = total_grad_norm(parameters);
  EXPECT_FLOAT_EQ(norm.item<float>(), 10);
  clip_grads_with_norm_(parameters, 100, norm);
  EXPECT_EQ(parameters[0].grad()[0].item<float>(), 3)
      << "below the limit nothing changes, not a bit";
  clip_grads_with_norm_(parameters, 1, norm);
  EXPECT_FLOAT_EQ(total_grad_norm(parameters).item<float>(), 1);
  EXPECT_FALSE(parameters[2].grad().defined());
}

TEST(ClipGradNorm, WithoutGradientsTheNormIsZero) {
  EXPECT_EQ(total_grad_norm({at::ones({2})}).item<float>(), 0);
}

TEST(ClipGradNorm, ANonFiniteGradientShowsInTheNorm) {
  const std::vector<at::Tensor> parameters = {
      with_gradient(at::full({2}, std::numeric_limits<float>::quiet_NaN()))};
  EXPECT_FALSE(std::isfinite(total_grad_norm(parameters).item<float>()));
}

}  // namespace
}  // namespace titan::parallel
