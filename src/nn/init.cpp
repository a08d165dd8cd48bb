#include "titan/nn/init.h"

#include <cmath>

namespace titan::nn {

namespace {

double normal_cdf(double x) { return (1.0 + std::erf(x / std::sqrt(2.0))) / 2.0; }

/// torch.nn.init.trunc_normal_ on a whole tensor.
void draw_trunc_normal(const at::Tensor& tensor, double std, at::Generator generator, double low,
                       double high) {
  const bool is_float = tensor.scalar_type() == at::kFloat;
  const at::Tensor values = is_float ? tensor : tensor.to(at::kFloat);
  const double lower = normal_cdf(low / std);
  const double upper = normal_cdf(high / std);
  values.uniform_(2 * lower - 1, 2 * upper - 1, std::move(generator));
  values.erfinv_();
  values.mul_(std * std::sqrt(2.0));
  values.add_(0.0);
  values.clamp_(low, high);
  if (!is_float) tensor.copy_(values);
}

}  // namespace

void normal_(const Parameter& parameter, at::Generator generator) {
  parameter.fill([&](const at::Tensor& full) { full.normal_(0.0, 1.0, generator); },
                 generator.device());
}

void trunc_normal_(const Parameter& parameter, double std, at::Generator generator, double low,
                   double high) {
  parameter.fill(
      [&](const at::Tensor& full) { draw_trunc_normal(full, std, generator, low, high); },
      generator.device());
}

}  // namespace titan::nn
