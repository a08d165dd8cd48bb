#include "components/optimizer/adam.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/ones.h>

#include <cmath>

namespace titan::components {

namespace {

/// Powers and roots as Python computes them: in double, with the C library's pow.
struct BiasCorrection {
  BiasCorrection(const AdamSettings& settings, const at::Tensor& step) {
    const double t = step.item<double>();
    step_size = settings.lr / (1 - std::pow(settings.beta1, t));
    second_moment_sqrt = std::pow(1 - std::pow(settings.beta2, t), 0.5);
  }
  double step_size;
  double second_moment_sqrt;
};

}  // namespace

void adam_for_loop(const AdamTensors& tensors, const AdamSettings& s) {
  for (std::size_t i = 0; i < tensors.params.size(); ++i) {
    const at::Tensor& param = tensors.params[i];
    const at::Tensor& exp_avg = tensors.exp_avgs[i];
    const at::Tensor& exp_avg_sq = tensors.exp_avg_sqs[i];
    at::Tensor grad = tensors.grads[i];
    tensors.steps[i].add_(1);
    if (s.weight_decay != 0) {
      if (s.decoupled_weight_decay) {
        param.mul_(1 - s.lr * s.weight_decay);
      } else {
        grad = grad.add(param, s.weight_decay);
      }
    }
    exp_avg.lerp_(grad, 1 - s.beta1);
    exp_avg_sq.mul_(s.beta2).addcmul_(grad, grad, 1 - s.beta2);
    const BiasCorrection correction(s, tensors.steps[i]);
    const at::Tensor denominator = exp_avg_sq.sqrt().div(correction.second_moment_sqrt).add_(s.eps);
    param.addcdiv_(exp_avg, denominator, -correction.step_size);
  }
}

void adam_foreach(const AdamTensors& tensors, const AdamSettings& s) {
  if (tensors.params.empty()) return;
  std::vector<at::Tensor> grads = tensors.grads;
  if (tensors.steps.front().is_cpu()) {
    at::_foreach_add_(tensors.steps, at::ones({}), 1.0);
  } else {
    at::_foreach_add_(tensors.steps, 1);
  }
  if (s.weight_decay != 0) {
    if (s.decoupled_weight_decay) {
      at::_foreach_mul_(tensors.params, 1 - s.lr * s.weight_decay);
    } else {
      grads = at::_foreach_add(grads, tensors.params, s.weight_decay);
    }
  }
  at::_foreach_lerp_(tensors.exp_avgs, grads, 1 - s.beta1);
  at::_foreach_mul_(tensors.exp_avg_sqs, s.beta2);
  at::_foreach_addcmul_(tensors.exp_avg_sqs, grads, grads, 1 - s.beta2);
  grads.clear();

  std::vector<at::Scalar> step_sizes;
  std::vector<at::Scalar> second_moment_sqrts;
  for (const at::Tensor& step : tensors.steps) {
    const BiasCorrection correction(s, step);
    step_sizes.emplace_back(-correction.step_size);
    second_moment_sqrts.emplace_back(correction.second_moment_sqrt);
  }
  std::vector<at::Tensor> denominators = at::_foreach_sqrt(tensors.exp_avg_sqs);
  at::_foreach_div_(denominators, second_moment_sqrts);
  at::_foreach_add_(denominators, s.eps);
  at::_foreach_addcdiv_(tensors.params, tensors.exp_avgs, denominators, step_sizes);
}

void adam_fused(const AdamTensors& tensors, const AdamSettings& s) {
  if (tensors.params.empty()) return;
  at::_foreach_add_(tensors.steps, 1);
  const auto update =
      s.decoupled_weight_decay ? &at::_ops::_fused_adamw_::call : &at::_ops::_fused_adam_::call;
  update(tensors.params, tensors.grads, tensors.exp_avgs, tensors.exp_avg_sqs,
         /*max_exp_avg_sqs=*/{}, tensors.steps, s.lr, s.beta1, s.beta2, s.weight_decay, s.eps,
         /*amsgrad=*/false, /*maximize=*/false,
         tensors.gradient_scale.defined() ? std::optional(tensors.gradient_scale) : std::nullopt,
         /*found_inf=*/std::nullopt);
}

}  // namespace titan::components
