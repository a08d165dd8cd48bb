#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <tuple>

#include "kernels/define_operator.h"
#include "kernels/instruction_set.h"
#include "kernels/operators.h"
#include "titan/kernels/layers.h"

namespace titan::kernels {

using at::Tensor;

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using TwoTensors = std::tuple<Tensor, Tensor>;

constexpr std::int64_t kRowsAtOnce = 16;
/// Into how many parts rows are dealt for the gradient of the weight: the same for any number of threads, so that
/// its terms are added in the same order.
constexpr std::int64_t kParts = 16;

std::int64_t rows_of(const Tensor& x) { return x.numel() / x.size(-1); }

TwoTensors forward_shapes(const Tensor& x, const Tensor&, double) {
  return {at::empty(x.sizes(), x.options()), at::empty({rows_of(x)}, x.options())};
}

TwoTensors forward(const Tensor& given, const Tensor& weight, double eps) {
  const Tensor x = given.contiguous();
  auto [y, factors] = forward_shapes(x, weight, eps);
  const std::int64_t dim = x.size(-1);
  const auto* from = x.const_data_ptr<float>();
  const auto* scale = weight.const_data_ptr<float>();
  auto* to = y.data_ptr<float>();
  auto* kept = factors.data_ptr<float>();
  at::parallel_for(0, rows_of(x), kRowsAtOnce, [&](std::int64_t begin, std::int64_t end) {
    instruction_set().rows.rms_norm(from + begin * dim, scale, end - begin, dim,
                                    static_cast<float>(eps), to + begin * dim, kept + begin);
  });
  return {y, factors};
}

TwoTensors backward_shapes(const Tensor&, const Tensor& x, const Tensor& weight, const Tensor&) {
  return {at::empty(x.sizes(), x.options()), at::empty(weight.sizes(), weight.options())};
}

TwoTensors backward(const Tensor& gradient, const Tensor& given, const Tensor& weight,
                    const Tensor& factors) {
  const Tensor dy = gradient.contiguous();
  const Tensor x = given.contiguous();
  const Tensor dx = at::empty(x.sizes(), x.options());
  const std::int64_t dim = x.size(-1);
  const std::int64_t rows = rows_of(x);
  const Tensor parts = at::zeros({kParts, dim}, x.options());
  const auto* slopes = dy.const_data_ptr<float>();
  const auto* from = x.const_data_ptr<float>();
  const auto* scale = weight.const_data_ptr<float>();
  const auto* kept = factors.const_data_ptr<float>();
  auto* to = dx.data_ptr<float>();
  auto* sums = parts.data_ptr<float>();
  at::parallel_for(0, kParts, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t part = first; part < last; ++part) {
      const std::int64_t begin = part * rows / kParts;
      const std::int64_t end = (part + 1) * rows / kParts;
      instruction_set().rows.rms_norm_backward(slopes + begin * dim, from + begin * dim, scale,
                                               kept + begin, end - begin, dim, to + begin * dim,
                                               sums + part * dim);
    }
  });
  for (std::int64_t part = 1; part < kParts; ++part) {
    for (std::int64_t i = 0; i < dim; ++i) sums[i] += sums[part * dim + i];
  }
  return {dx, parts[0].clone()};
}

struct RmsNorm : public torch::autograd::Function<RmsNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        double eps) {
    static const auto op =
        find_operator<TwoTensors(const Tensor&, const Tensor&, double)>("titan_kernels::rms_norm");
    auto [y, factors] = op.call(x, weight, eps);
    context->save_for_backward({x, weight, factors});
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    static const auto op =
        find_operator<TwoTensors(const Tensor&, const Tensor&, const Tensor&, const Tensor&)>(
            "titan_kernels::rms_norm_backward");
    const variable_list saved = context->get_saved_variables();
    const auto [dx, dweight] = op.call(gradients[0], saved[0], saved[1], saved[2]);
    return {dx, dweight, {}};
  }
};

}  // namespace

void define_rms_norm(torch::Library& library) {
  define_operator(library, "rms_norm(Tensor x, Tensor weight, float eps) -> (Tensor, Tensor)",
                  forward, forward_shapes);
  define_operator(library,
                  "rms_norm_backward(Tensor gradient, Tensor x, Tensor weight, Tensor factors) -> "
                  "(Tensor, Tensor)",
                  backward, backward_shapes);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const bool takes = x.is_cpu() && x.scalar_type() == at::kFloat &&
                     weight.scalar_type() == at::kFloat && x.numel() > 0 && weight.is_contiguous();
  return takes ? RmsNorm::apply(x, weight, eps) : at::rms_norm(x, weight.sizes(), weight, eps);
}

}  // namespace titan::kernels
