#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>
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
  if (!splits(x, weight) && products() == Products::kOneDnn) return multiply_on_onednn(x, weight);
  Tensor to = shape(x, weight);
  set_to_product(to, x, weight);
  return to;
}

/// Of several left factors.
std::vector<Tensor> products_shape(at::TensorList x, const Tensor& weight) {
  std::vector<Tensor> results;
  for (const Tensor& one : x) results.push_back(shape(one, weight));
  return results;
}

std::vector<Tensor> multiply_all(at::TensorList x, const Tensor& weight) {
  std::vector<Tensor> results = products_shape(x, weight);
  set_to_products(results, x, weight);
  return results;
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

std::vector<Tensor> products_of(at::TensorList x, const Tensor& weight) {
  static const auto op = find_operator<std::vector<Tensor>(at::TensorList, const Tensor&)>(
      "titan_kernels::linear_products");
  return op.call(x, weight);
}

bool takes(const Tensor& x, const Tensor& weight) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat &&
         x.numel() > 0 && weight.numel() > 0 && !at::autocast::is_autocast_enabled(at::kCPU);
}

Tensor rows_of(const Tensor& x) { return x.reshape({-1, x.size(-1)}); }

Tensor times(const Tensor& rows, const Tensor& x, const Tensor& weight) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.back() = weight.size(0);
  return product(rows, weight).view(sizes);
}

struct Linear : public torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight) {
    context->save_for_backward({x, weight});
    return times(rows_of(x), x, weight);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& weight = saved[1];
    const Tensor gradient = rows_of(gradients[0]);
    variable_list result(2);
    if (context->needs_input_grad(0)) result[0] = product(gradient, weight.t()).view(x.sizes());
    if (context->needs_input_grad(1)) result[1] = product(gradient.t(), rows_of(x).t());
    return result;
  }
};

/// The gradient of x is one sum, which the products add to as they are made; those of the weights share x.
struct Linears : public torch::autograd::Function<Linears> {
  static variable_list forward(AutogradContext* context, const Tensor& x, at::TensorList weights) {
    context->set_materialize_grads(false);
    const Tensor rows = rows_of(x);
    variable_list saved = {x};
    variable_list results;
    for (const Tensor& weight : weights) {
      saved.push_back(weight);
      results.push_back(times(rows, x, weight));
    }
    context->save_for_backward(std::move(saved));
    return results;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor x = rows_of(saved[0]);
    variable_list result(saved.size());
    std::vector<Tensor> turned;
    std::vector<std::size_t> trained;
    for (std::size_t i = 1; i < saved.size(); ++i) {
      if (!gradients[i - 1].defined()) continue;
      const Tensor gradient = rows_of(gradients[i - 1]);
      if (context->needs_input_grad(i)) {
        turned.push_back(gradient.t());
        trained.push_back(i);
      }
      if (!context->needs_input_grad(0)) continue;
      if (result[0].defined()) {
        add_linear_product(result[0], gradient, saved[i].t());
      } else {
        result[0] = product(gradient, saved[i].t());
      }
    }
    if (result[0].defined()) result[0] = result[0].view(saved[0].sizes());
    if (turned.empty()) return result;
    std::vector<Tensor> of_weights = products_of(turned, x.t());
    for (std::size_t i = 0; i < trained.size(); ++i) result[trained[i]] = std::move(of_weights[i]);
    return result;
  }
};

}  // namespace

void define_linear(torch::Library& library) {
  define_operator(library, "linear_product(Tensor x, Tensor weight) -> Tensor", multiply, shape);
  define_operator(library, "linear_products(Tensor[] x, Tensor weight) -> Tensor[]", multiply_all,
                  products_shape);
  define_operator(library, "linear_product_(Tensor(a!) to, Tensor x, Tensor weight) -> ()",
                  add_product, add_shape);
}

Tensor linear(const Tensor& x, const Tensor& weight) {
  const bool is_ours = takes(x, weight) && products() != Products::kBlas;
  return is_ours ? Linear::apply(x, weight) : at::linear(x, weight);
}

std::vector<Tensor> linears(const Tensor& x, const std::vector<Tensor>& weights) {
  if (std::ranges::all_of(weights, [&](const Tensor& weight) { return takes(x, weight); })) {
    return Linears::apply(x, at::TensorList(weights));
  }
  std::vector<Tensor> results;
  for (const Tensor& weight : weights) results.push_back(kernels::linear(x, weight));
  return results;
}

void set_to_product(Tensor to, const Tensor& x, const Tensor& weight) {
  if (splits(x, weight)) {
    multiply_split(x, weight, to, /*adds=*/false);
  } else if (products() == Products::kOneDnn) {
    to.copy_(multiply_on_onednn(x, weight));
  } else {
    at::mm_out(to, x, weight.t());
  }
}

void set_to_products(at::TensorList to, at::TensorList x, at::TensorList weights) {
  const bool split = std::ranges::all_of(x, [&](const Tensor& one) {
    return std::ranges::all_of(weights, [&](const Tensor& weight) { return splits(one, weight); });
  });
  if (split) {
    multiply_split(x, weights, to, /*adds=*/false);
    return;
  }
  for (std::size_t i = 0; i < to.size(); ++i) {
    set_to_product(to[i], x[i / weights.size()], weights[i % weights.size()]);
  }
}

void add_linear_product(Tensor to, const Tensor& x, const Tensor& weight) {
  static const auto op =
      find_operator<void(Tensor&, const Tensor&, const Tensor&)>("titan_kernels::linear_product_");
  if (to.is_cpu() && to.scalar_type() == at::kFloat) {
    op.call(to, x, weight);
  } else {
    to.addmm_(x, weight.t());
  }
}

Tensor linear_product(const Tensor& x, const Tensor& weight) { return product(x, weight); }

bool takes_linear_product(const Tensor& x, const Tensor& weight) { return takes(x, weight); }

}  // namespace titan::kernels
