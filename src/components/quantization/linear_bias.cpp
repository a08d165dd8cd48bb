#include "titan/components/quantization/linear_bias.h"

#include <ATen/TensorOperators.h>

#include <algorithm>

namespace titan::components {

const nn::Parameter* bias_of(const nn::Module& linear) {
  const std::vector<nn::NamedParameter> parameters = linear.parameter_names();
  const auto found = std::ranges::find(parameters, "bias", &nn::NamedParameter::name);
  return found == parameters.end() ? nullptr : found->parameter;
}

at::Tensor with_bias(const at::Tensor& y, const at::Tensor& bias) {
  return y + bias.to(y.scalar_type());
}

}  // namespace titan::components
