#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "kernels/define_operator.h"
#include "kernels/linear_product.h"
#include "kernels/matrix_product.h"
#include "kernels/operators.h"
#include "titan/kernels/layers.h"
#include "titan/kernels/onednn_product.h"
#include "titan/kernels/products.h"

namespace titan::kernels {

using at::Tensor;

namespace {

constexpr std::int64_t kFewest = 32;

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Tiles are filled up with zeros: what is narrower than one is faster as it is.
bool splits(const Tensor& x, const Tensor& weight) {
  return products() == Products::kSplit && x.size(0) >= kFewest && x.size(1) >= kFewest &&
         weight.size(0) >= kFewest;
}

Tensor shape(const Tensor& x, const Tensor& weight) {
  return at::empty({x.size(0), weight.size(0)}, x.options());
}

Tensor multiply(const Tensor& x, const Tensor& weight) {
  if (splits(x, weight)) {
    Tensor to = shape(x, weight);
    multiply_split(x, weight, to, /*adds=*/false);
    return to;
  }
  return products() == Products::kOneDnn ? multiply_on_onednn(x, weight) : at::mm(x, weight.t());
}

void add_shape(Tensor&, const Tensor&, const Tensor&) {}

void add_product(Tensor& to, const Tensor& x, const Tensor& weight) {
  if (splits(x, weight)) {
    multiply_split(x, weight, to, /*adds=*/true);
  } else {
    to.addmm_(x, weight.t());
  }
}

Tensor product(const Tensor& x, const Tensor& weight) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&)>("titan_kernels::linear_product");
  return op.call(x, weight);
}

struct Linear : public torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight) {
    context->save_for_backward({x, weight});
    std::vector<std::int64_t> sizes = x.sizes().vec();
    sizes.back() = weight.size(0);
    return product(x.reshape({-1, x.size(-1)}), weight).view(sizes);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& weight = saved[1];
    const Tensor gradient = gradients[0].reshape({-1, weight.size(0)});
    variable_list result(2);
    if (context->needs_input_grad(0)) result[0] = product(gradient, weight.t()).view(x.sizes());
    if (context->needs_input_grad(1)) {
      result[1] = product(gradient.t(), x.reshape({-1, x.size(-1)}).t());
    }
    return result;
  }
};

}  // namespace

void define_linear(torch::Library& library) {
  define_operator(library, "linear_product(Tensor x, Tensor weight) -> Tensor", multiply, shape);
  define_operator(library, "linear_product_(Tensor(a!) to, Tensor x, Tensor weight) -> ()",
                  add_product, add_shape);
}

Tensor linear(const Tensor& x, const Tensor& weight) {
  const bool takes = x.is_cpu() && x.scalar_type() == at::kFloat &&
                     weight.scalar_type() == at::kFloat && x.numel() > 0 && weight.numel() > 0 &&
                     !at::autocast::is_autocast_enabled(at::kCPU) && products() != Products::kBlas;
  return takes ? Linear::apply(x, weight) : at::linear(x, weight);
}

void add_linear_product(Tensor& to, const Tensor& x, const Tensor& weight) {
  static const auto op =
      find_operator<void(Tensor&, const Tensor&, const Tensor&)>("titan_kernels::linear_product_");
  if (to.is_cpu() && to.scalar_type() == at::kFloat) {
    op.call(to, x, weight);
  } else {
    to.addmm_(x, weight.t());
  }
}

}  // namespace titan::kernels
