#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "kernels/define_operator.h"
#include "kernels/instruction_set.h"
#include "kernels/numbers_of.h"
#include "kernels/operators.h"
#include "titan/kernels/layers.h"

namespace titan::kernels {

using at::Tensor;

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using TwoTensors = std::tuple<Tensor, Tensor>;
using ThreeTensors = std::tuple<Tensor, Tensor, Tensor>;
using MaybeTensor = std::optional<Tensor>;

constexpr std::int64_t kRowsAtOnce = 16;
/// Into how many parts rows are dealt for the gradient of the weight: the same for any number of threads, so that
/// its terms are added in the same order.
constexpr std::int64_t kParts = 16;

std::int64_t rows_of(const Tensor& x) { return x.numel() / x.size(-1); }

Tensor like(const Tensor& x) { return at::empty(x.sizes(), x.options()); }
Tensor factors_of(const Tensor& x) {
  return at::empty({rows_of(x)}, x.options().dtype(at::kFloat));
}

/// `residual` and `sum` are undefined where there are none.
struct Forward {
  Tensor x;
  Tensor residual;
  Tensor weight;
  float eps;
  Tensor sum;
  Tensor y;
  Tensor factors;
};

template <class Number>
void fill(const Forward& all) {
  const std::int64_t dim = all.x.size(-1);
  const auto from = [dim](const Tensor& x, std::int64_t row) {
    return x.defined() ? numbers_of<Number>(x) + row * dim : nullptr;
  };
  at::parallel_for(0, rows_of(all.x), kRowsAtOnce, [&](std::int64_t begin, std::int64_t end) {
    NormRows<Number> rows;
    rows.x = from(all.x, begin);
    rows.residual = from(all.residual, begin);
    rows.weight = numbers_of<Number>(all.weight);
    rows.rows = end - begin;
    rows.dim = dim;
    rows.eps = all.eps;
    rows.sum = from(all.sum, begin);
    rows.y = from(all.y, begin);
    rows.factors = all.factors.data_ptr<float>() + begin;
    element_kernels<Number>().rms_norm(rows);
  });
}

void fill(const Forward& all) {
  all.x.scalar_type() == at::kFloat ? fill<float>(all) : fill<Bf16Bits>(all);
}

TwoTensors forward_shapes(const Tensor& x, const Tensor&, double) {
  return {like(x), factors_of(x)};
}

TwoTensors forward(const Tensor& x, const Tensor& weight, double eps) {
  const TwoTensors results = forward_shapes(x, weight, eps);
  const auto& [y, factors] = results;
  fill({x.contiguous(), {}, weight, static_cast<float>(eps), {}, y, factors});
  return results;
}

/// What is normalised, the sum, and the factors.
ThreeTensors sum_shapes(const Tensor& x, const Tensor&, const Tensor&, double) {
  return {like(x), like(x), factors_of(x)};
}

ThreeTensors sum_and_norm(const Tensor& x, const Tensor& residual, const Tensor& weight,
                          double eps) {
  const ThreeTensors results = sum_shapes(x, residual, weight, eps);
  const auto& [y, sum, factors] = results;
  fill({x.contiguous(), residual.contiguous(), weight, static_cast<float>(eps), sum, y, factors});
  return results;
}

TwoTensors backward_shapes(const Tensor&, const MaybeTensor&, const Tensor& x, const Tensor& weight,
                           const Tensor&) {
  return {like(x), like(weight)};
}

struct Backward {
  Tensor dy;
  Tensor dsum;  // undefined: there are no other users
  Tensor sum;
  Tensor weight;
  Tensor factors;
  Tensor dx;
};

/// The gradient of the weight, fp32, in parts.
template <class Number>
void fill(const Backward& all, const Tensor& parts) {
  const std::int64_t dim = all.sum.size(-1);
  const std::int64_t count = rows_of(all.sum);
  const auto from = [dim](const Tensor& x, std::int64_t row) {
    return x.defined() ? numbers_of<Number>(x) + row * dim : nullptr;
  };
  at::parallel_for(0, kParts, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t part = first; part < last; ++part) {
      const std::int64_t begin = part * count / kParts;
      NormRowsBackward<Number> rows;
      rows.dy = from(all.dy, begin);
      rows.dsum = from(all.dsum, begin);
      rows.sum = from(all.sum, begin);
      rows.weight = numbers_of<Number>(all.weight);
      rows.factors = all.factors.const_data_ptr<float>() + begin;
      rows.rows = (part + 1) * count / kParts - begin;
      rows.dim = dim;
      rows.dx = from(all.dx, begin);
      rows.dweight = parts.data_ptr<float>() + part * dim;
      element_kernels<Number>().rms_norm_backward(rows);
    }
  });
}

TwoTensors backward(const Tensor& gradient, const MaybeTensor& sum_gradient, const Tensor& given,
                    const Tensor& weight, const Tensor& factors) {
  const Tensor x = given.contiguous();
  const Tensor dx = like(x);
  const Tensor parts = at::zeros({kParts, x.size(-1)}, x.options().dtype(at::kFloat));
  const Backward all = {gradient.contiguous(),
                        sum_gradient ? sum_gradient->contiguous() : Tensor(),
                        x,
                        weight,
                        factors,
                        dx};
  x.scalar_type() == at::kFloat ? fill<float>(all, parts) : fill<Bf16Bits>(all, parts);
  auto* sums = parts.data_ptr<float>();
  const std::int64_t dim = x.size(-1);
  for (std::int64_t part = 1; part < kParts; ++part) {
    for (std::int64_t i = 0; i < dim; ++i) sums[i] += sums[part * dim + i];
  }
  return {dx, parts[0].to(weight.scalar_type(), /*non_blocking=*/false, /*copy=*/true)};
}

TwoTensors gradients_of(const Tensor& gradient, const MaybeTensor& sum_gradient, const Tensor& x,
                        const Tensor& weight, const Tensor& factors) {
  static const auto op =
      find_operator<TwoTensors(const Tensor&, const MaybeTensor&, const Tensor&, const Tensor&,
                               const Tensor&)>("titan_kernels::rms_norm_backward");
  return op.call(gradient, sum_gradient, x, weight, factors);
}

TwoTensors normed(const Tensor& x, const Tensor& weight, double eps) {
  static const auto op =
      find_operator<TwoTensors(const Tensor&, const Tensor&, double)>("titan_kernels::rms_norm");
  return op.call(x, weight, eps);
}

struct RmsNorm : public torch::autograd::Function<RmsNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        double eps) {
    auto [y, factors] = normed(x, weight, eps);
    context->save_for_backward({x, weight, factors});
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto [dx, dweight] =
        gradients_of(gradients[0], std::nullopt, saved[0], saved[1], saved[2]);
    return {dx, dweight, {}};
  }
};

struct SumAndRmsNorm : public torch::autograd::Function<SumAndRmsNorm> {
  static variable_list forward(AutogradContext* context, const Tensor& x,
                               const MaybeTensor& residual, const Tensor& weight, double eps) {
    static const auto op =
        find_operator<ThreeTensors(const Tensor&, const Tensor&, const Tensor&, double)>(
            "titan_kernels::sum_and_rms_norm");
    context->set_materialize_grads(false);
    context->saved_data["adds"] = residual.has_value();
    Tensor sum = x;
    Tensor y;
    Tensor factors;
    if (residual) {
      std::tie(y, sum, factors) = op.call(x, *residual, weight, eps);
    } else {
      std::tie(y, factors) = normed(x, weight, eps);
    }
    context->save_for_backward({sum, weight, factors});
    return {y, sum};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const bool adds = context->saved_data["adds"].toBool();
    if (!gradients[0].defined()) return {gradients[1], adds ? gradients[1] : Tensor(), {}, {}};
    const auto [dx, dweight] = gradients_of(
        gradients[0], gradients[1].defined() ? MaybeTensor(gradients[1]) : std::nullopt, saved[0],
        saved[1], saved[2]);
    return {dx, adds ? dx : Tensor(), dweight, {}};
  }
};

bool takes(const Tensor& x, const Tensor& weight) {
  return has_element_kernels(x) && weight.scalar_type() == x.scalar_type() && x.numel() > 0 &&
         weight.sizes() == x.sizes().slice(x.dim() - 1) && weight.is_contiguous();
}

}  // namespace

void define_rms_norm(torch::Library& library) {
  define_operator(library, "rms_norm(Tensor x, Tensor weight, float eps) -> (Tensor, Tensor)",
                  forward, forward_shapes);
  define_operator(library,
                  "sum_and_rms_norm(Tensor x, Tensor residual, Tensor weight, float eps) -> "
                  "(Tensor, Tensor, Tensor)",
                  sum_and_norm, sum_shapes);
  define_operator(library,
                  "rms_norm_backward(Tensor gradient, Tensor? sum_gradient, Tensor x, Tensor "
                  "weight, Tensor factors) -> (Tensor, Tensor)",
                  backward, backward_shapes);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  return takes(x, weight) ? RmsNorm::apply(x, weight, eps)
                          : at::rms_norm(x, weight.sizes(), weight, eps);
}

SumAndNorm sum_and_rms_norm(const Tensor& x, const Tensor& residual, const Tensor& weight,
                            double eps) {
  const bool adds = residual.defined() && takes(x, weight) &&
                    residual.scalar_type() == x.scalar_type() && residual.sizes() == x.sizes();
  const Tensor sum = adds || !residual.defined() ? x : x + residual;
  if (!takes(sum, weight)) return {at::rms_norm(sum, weight.sizes(), weight, eps), sum};
  const variable_list results =
      SumAndRmsNorm::apply(sum, adds ? MaybeTensor(residual) : std::nullopt, weight, eps);
  return {results[0], results[1]};
}

}  // namespace titan::kernels
