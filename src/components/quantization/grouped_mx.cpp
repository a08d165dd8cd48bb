#include <torch/csrc/autograd/custom_function.h>

#include "components/quantization/emulated_operators.h"
#include "titan/base/errors.h"
#include "titan/components/quantization/grouped_products.h"
#include "titan/components/quantization/without_autocast.h"
#include "titan/nn/moe/grouped_product.h"

namespace titan::components {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr at::ScalarType kType = at::kBFloat16;
constexpr MXScaling kScaling = MXScaling::kRceil;

/// rows `[R, n]` times the matrices `[groups, m, n]`, transposed: what is summed is n.
Tensor product(const Tensor& rows, const Tensor& matrices, const Tensor& counts) {
  return nn::grouped_product(through_mx(rows, kScaling, kType),
                             through_mx(matrices, kScaling, kType), counts);
}

struct MXGroupedProduct : public torch::autograd::Function<MXGroupedProduct> {
  static Tensor forward(AutogradContext* context, const Tensor& rows, const Tensor& weights,
                        const Tensor& counts) {
    const WithoutAutocast guard;
    context->save_for_backward({rows, weights, counts});
    return product(rows, weights, counts);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const WithoutAutocast guard;
    const variable_list saved = context->get_saved_variables();
    const Tensor& rows = saved[0];
    const Tensor& weights = saved[1];
    const Tensor& counts = saved[2];
    const Tensor gradient = gradients[0].contiguous();
    variable_list result(3);
    if (context->needs_input_grad(0)) {
      result[0] =
          product(gradient, weights.transpose(1, 2).contiguous(), counts).to(rows.scalar_type());
    }
    if (context->needs_input_grad(1)) {
      result[1] = nn::grouped_product_weights_gradient(
                      through_mx_by_group(gradient, counts, kScaling, kType),
                      through_mx_by_group(rows, counts, kScaling, kType), counts)
                      .to(weights.scalar_type());
    }
    return result;
  }
};

}  // namespace

Tensor mx_grouped_product(const Tensor& rows, const Tensor& weights, const Tensor& counts) {
  for (const std::int64_t features : {weights.size(1), weights.size(2)}) {
    if (features % kMXBlock == 0) continue;
    throw ConfigError(concat("quantize.grouped_mm.mx: experts of ", weights.size(1), " x ",
                             weights.size(2), " features cannot be cut into blocks of ", kMXBlock));
  }
  return MXGroupedProduct::apply(rows, weights, counts);
}

}  // namespace titan::components
