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

/// Of several right factors.
std::vector<Tensor> products_of_one_shape(const Tensor& x, at::TensorList weights) {
  std::vector<Tensor> results;
  for (const Tensor& weight : weights) results.push_back(shape(x, weight));
  return results;
}

std::vector<Tensor> multiply_by_all(const Tensor& x, at::TensorList weights) {
  std::vector<Tensor> results;
  if (!std::ranges::all_of(weights, [&](const Tensor& weight) { return splits(x, weight); })) {
    for (const Tensor& weight : weights) results.push_back(kernels::multiply(x, weight));
    return results;
  }
  results = products_of_one_shape(x, weights);
  multiply_split(x, weights, results, /*adds=*/false);
  return results;
}

Tensor sum_shape(at::TensorList x, at::TensorList weights) { return shape(x[0], weights[0]); }

void add_product(Tensor& to, const Tensor& x, const Tensor& weight);

/// Σ x_i w_iᵀ
Tensor sum_products(at::TensorList x, at::TensorList weights) {
  bool split = true;
  for (std::size_t i = 0; i < x.size(); ++i) split = split && splits(x[i], weights[i]);
  if (split) {
    Tensor to = sum_shape(x, weights);
    multiply_split_sum(x, weights, to);
    return to;
  }
  Tensor to = kernels::multiply(x[0], weights[0]);
  for (std::size_t i = 1; i < x.size(); ++i) add_product(to, x[i], weights[i]);
  return to;
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

std::vector<Tensor> products_of_one(const Tensor& x, at::TensorList weights) {
  static const auto op = find_operator<std::vector<Tensor>(const Tensor&, at::TensorList)>(
      "titan_kernels::linear_products_of_one");
  return op.call(x, weights);
}

Tensor sum_of(at::TensorList x, at::TensorList weights) {
  static const auto op =
      find_operator<Tensor(at::TensorList, at::TensorList)>("titan_kernels::linear_products_sum");
  return op.call(x, weights);
}

bool takes(const Tensor& x, const Tensor& weight) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat &&
         x.numel() > 0 && weight.numel() > 0 && x.size(-1) == weight.size(-1) &&
         !at::autocast::is_autocast_enabled(at::kCPU);
}

Tensor rows_of(const Tensor& x) { return x.reshape({-1, x.size(-1)}); }

/// Rows, as many as x has, one behind the other as those of x.
Tensor like_rows_of(const Tensor& x, const Tensor& rows) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.back() = rows.size(1);
  return rows.view(sizes);
}

struct Linear : public torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight) {
    context->save_for_backward({x, weight});
    return like_rows_of(x, product(rows_of(x), weight));
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

/// What is packed of x is for all weights. The gradient of x is one sum; those of the weights share x.
struct Linears : public torch::autograd::Function<Linears> {
  static variable_list forward(AutogradContext* context, const Tensor& x, at::TensorList weights) {
    context->set_materialize_grads(false);
    variable_list saved = {x};
    saved.insert(saved.end(), weights.begin(), weights.end());
    variable_list results = products_of_one(rows_of(x), weights);
    for (Tensor& result : results) result = like_rows_of(x, result);
    context->save_for_backward(std::move(saved));
    return results;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor x = rows_of(saved[0]);
    variable_list result(saved.size());
    std::vector<Tensor> by_x;  // what the gradient of x is a sum of
    std::vector<Tensor> weights;
    std::vector<Tensor> turned;
    std::vector<std::size_t> trained;
    for (std::size_t i = 1; i < saved.size(); ++i) {
      if (!gradients[i - 1].defined()) continue;
      const Tensor gradient = rows_of(gradients[i - 1]);
      if (context->needs_input_grad(i)) {
        turned.push_back(gradient.t());
        trained.push_back(i);
      }
      by_x.push_back(gradient);
      weights.push_back(saved[i].t());
    }
    if (context->needs_input_grad(0) && !by_x.empty()) {
      result[0] = sum_of(by_x, weights).view(saved[0].sizes());
    }
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
  define_operator(library, "linear_products_of_one(Tensor x, Tensor[] weights) -> Tensor[]",
                  multiply_by_all, products_of_one_shape);
  define_operator(library, "linear_products_sum(Tensor[] x, Tensor[] weights) -> Tensor",
                  sum_products, sum_shape);
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
