#include <torch/csrc/autograd/custom_function.h>

#include <tuple>
#include <vector>

#include "kernels/linear_product.h"
#include "kernels/swiglu.h"
#include "titan/kernels/layers.h"

namespace titan::kernels {

using at::Tensor;

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor rows_of(const Tensor& x) { return x.reshape({-1, x.size(-1)}); }

struct LinearOfSwiglu : public torch::autograd::Function<LinearOfSwiglu> {
  static Tensor forward(AutogradContext* context, const Tensor& gate, const Tensor& up,
                        const Tensor& weight, const Tensor* product) {
    context->save_for_backward({gate, up, weight});
    std::vector<std::int64_t> sizes = product->sizes().vec();
    sizes.back() = weight.size(0);
    return linear_product(rows_of(*product), weight).view(sizes);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor gate = rows_of(saved[0]);
    const Tensor up = rows_of(saved[1]);
    const Tensor& weight = saved[2];
    const Tensor gradient = rows_of(gradients[0]);
    variable_list result(4);
    Tensor product;
    if (context->needs_input_grad(0) || context->needs_input_grad(1)) {
      product = linear_product(gradient, weight.t());  // its gradient, as yet
      const auto [dgate, dup] = swiglu_backward_and_again(product, gate, up);
      result[0] = dgate.view(saved[0].sizes());
      result[1] = dup.view(saved[1].sizes());
    } else {
      product = swiglu_of(gate, up);
    }
    if (context->needs_input_grad(2)) result[2] = linear_product(gradient.t(), product.t());
    return result;
  }
};

}  // namespace

Tensor linear_of_swiglu(const Tensor& product, const Tensor& gate, const Tensor& up,
                        const Tensor& weight) {
  const bool takes = takes_linear_product(product, weight) && gate.scalar_type() == at::kFloat &&
                     up.scalar_type() == at::kFloat && gate.sizes() == up.sizes();
  return takes ? LinearOfSwiglu::apply(gate, up, weight, &product)
               : kernels::linear(product, weight);
}

}  // namespace titan::kernels
