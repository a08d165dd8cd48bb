#include "titan/components/quantization/mx_linear.h"

#include <ATen/ops/_scaled_mm.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include "components/quantization/emulated_operators.h"
#include "components/quantization/mx_operators.h"
#include "titan/base/errors.h"
#include "titan/components/quantization/without_autocast.h"

namespace titan::components {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor rounded(const at::Tensor& matrix, MXScaling scaling) {
  return through_mx(matrix, scaling, matrix.scalar_type());
}

/// How a layer's three products are made.
struct Recipe {
  MXScaling scaling;
  MXProducts products;
};

/// left rightᵀ: both sum over their last dimension.
at::Tensor product(const at::Tensor& left, const at::Tensor& right, const Recipe& recipe) {
  if (recipe.products == MXProducts::kEmulated) {
    return at::mm(rounded(left, recipe.scaling), rounded(right, recipe.scaling).t());
  }
  const auto [a, of_a] = cast_to_mx(left, recipe.scaling);
  const auto [b, of_b] = cast_to_mx(right, recipe.scaling);
  return at::_scaled_mm(a, b.t(), of_a, of_b, /*bias=*/{}, /*scale_result=*/{}, at::kBFloat16)
      .to(left.scalar_type());
}

void check(std::int64_t size, const char* what) {
  if (size % kMXBlock == 0) return;
  throw ConfigError(concat("quantize.linear.mx: ", size, " ", what,
                           " cannot be cut into blocks of 32, which share a scale"));
}

struct MXLinearFunction : public torch::autograd::Function<MXLinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            MXScaling scaling, MXProducts products) {
    const WithoutAutocast guard;
    context->save_for_backward({x, weight});
    context->saved_data["scaling"] = static_cast<std::int64_t>(scaling);
    context->saved_data["products"] = static_cast<std::int64_t>(products);
    const at::Tensor rows = x.reshape({-1, x.size(-1)});
    auto sizes = x.sizes().vec();
    sizes.back() = weight.size(0);
    return product(rows, weight.to(x.scalar_type()), {scaling, products}).view(sizes);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const WithoutAutocast guard;
    const auto number = [&](const char* key) { return context->saved_data.at(key).toInt(); };
    const Recipe recipe{static_cast<MXScaling>(number("scaling")),
                        static_cast<MXProducts>(number("products"))};
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor weight = saved[1].to(x.scalar_type());
    const at::Tensor gradient = gradients[0].reshape({-1, gradients[0].size(-1)});
    at::Tensor of_x;
    if (context->needs_input_grad(0)) of_x = product(gradient, weight.t(), recipe).view(x.sizes());
    at::Tensor of_weight;
    if (context->needs_input_grad(1)) {
      of_weight = product(gradient.t(), x.reshape({-1, x.size(-1)}).t(), recipe);
    }
    return {of_x, of_weight, {}, {}};
  }
};

}  // namespace

at::Tensor mx_linear(const at::Tensor& x, const at::Tensor& weight, MXScaling scaling,
                     MXProducts products) {
  check(x.size(-1), "features in");
  check(weight.size(0), "features out");
  check(x.numel() / x.size(-1), "tokens of a rank's microbatch");
  return MXLinearFunction::apply(in_autocast_type(x), weight, scaling, products);
}

}  // namespace titan::components
