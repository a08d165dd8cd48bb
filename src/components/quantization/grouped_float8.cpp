#include <ATen/ops/_scaled_grouped_mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include "components/quantization/aligned_groups.h"
#include "components/quantization/emulated_operators.h"
#include "components/quantization/float8_operators.h"
#include "titan/base/errors.h"
#include "titan/components/quantization/grouped_products.h"
#include "titan/components/quantization/without_autocast.h"
#include "titan/nn/moe/grouped_product.h"

namespace titan::components {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr at::ScalarType kType = at::kFloat8_e4m3fn;
constexpr at::ScalarType kResult = at::kBFloat16;
/// Rows of a group in the GPU's kernels; features of a matrix everywhere.
constexpr std::int64_t kAlignment = 16;

/// What each row is multiplied by. `ranks`: those that have other columns.
Tensor scales_of_rows(const Tensor& matrix, comm::ProcessGroup* ranks) {
  return float8_scale(matrix, {kType, Granularity::kRow, /*power_of_two=*/true},
                      matrix.numel() == 0 ? nullptr : ranks);
}

/// The matrices of all groups, `[groups, a, b]`, as one below the other.
Tensor below_each_other(const Tensor& matrices) { return matrices.reshape({-1, matrices.size(2)}); }

/// rows [R, n] times the matrices `[groups, m, n]`, transposed: what is summed is n. `ranks`: those with other parts of n.
Tensor emulated(const Tensor& rows, const Tensor& matrices, const Tensor& counts,
                comm::ProcessGroup* ranks) {
  const Tensor flat = below_each_other(matrices);
  const Tensor left = through_float8(rows, scales_of_rows(rows, ranks), kType);
  const Tensor right =
      through_float8(flat, scales_of_rows(flat, ranks), kType).view(matrices.sizes());
  return nn::grouped_product(left, right, counts).to(kResult);
}

Tensor scaled(const Tensor& rows, const Tensor& matrices, const AlignedGroups& groups,
              comm::ProcessGroup* ranks) {
  const Tensor flat = below_each_other(matrices);
  const Tensor left = groups.aligned(rows);
  const Tensor of_left = scales_of_rows(left, ranks);
  const Tensor of_right = scales_of_rows(flat, ranks);
  const Tensor right =
      cast_to_float8(flat, of_right, kType, /*by_column=*/false).view(matrices.sizes());
  return groups.unaligned(at::_scaled_grouped_mm(
      cast_to_float8(left, of_left, kType, /*by_column=*/false), right.transpose(1, 2),
      of_left.squeeze(1).reciprocal(), of_right.view({matrices.size(0), -1}).reciprocal(),
      groups.ends(), /*bias=*/{}, /*scale_result=*/{}, kResult, /*use_fast_accum=*/true));
}

/// dyᵀ x of every group.
Tensor scaled_weights_gradient(const Tensor& gradient, const Tensor& rows, const Tensor& counts,
                               const AlignedGroups& groups) {
  const GroupedColumns left = cast_columns_by_group(groups.aligned(gradient), groups);
  const GroupedColumns right = cast_columns_by_group(groups.aligned(rows), groups);
  const Tensor result = at::_scaled_grouped_mm(
      left.values.t(), right.values, left.scales.reshape(-1).reciprocal(),
      right.scales.reshape(-1).reciprocal(), groups.ends(), {}, {}, kResult, true);
  // What the kernel leaves in place of a group without rows is anything.
  return result.masked_fill((counts == 0).view({-1, 1, 1}).to(result.device()), 0.0);
}

struct Float8GroupedProduct : public torch::autograd::Function<Float8GroupedProduct> {
  static Tensor forward(AutogradContext* context, const Tensor& rows, const Tensor& weights,
                        const Tensor& counts, Float8Products products, ExpertRanks ranks) {
    const WithoutAutocast guard;
    context->save_for_backward({rows, weights, counts});
    context->saved_data["products"] = static_cast<std::int64_t>(products);
    context->saved_data["group"] = reinterpret_cast<std::int64_t>(ranks.group);
    context->saved_data["dim"] = static_cast<std::int64_t>(ranks.dim);
    comm::ProcessGroup* of_in = ranks.dim == 2 ? ranks.group : nullptr;
    if (products == Float8Products::kEmulated) return emulated(rows, weights, counts, of_in);
    return scaled(rows, weights, {counts, rows.size(0), kAlignment, rows.device()}, of_in);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const WithoutAutocast guard;
    const auto number = [&](const char* key) { return context->saved_data.at(key).toInt(); };
    const bool emulates =
        static_cast<Float8Products>(number("products")) == Float8Products::kEmulated;
    comm::ProcessGroup* of_out =
        number("dim") == 1 ? reinterpret_cast<comm::ProcessGroup*>(number("group")) : nullptr;
    const variable_list saved = context->get_saved_variables();
    const Tensor& rows = saved[0];
    const Tensor& weights = saved[1];
    const Tensor& counts = saved[2];
    const Tensor gradient = gradients[0].contiguous();
    variable_list result(5);
    const auto aligned = [&] {
      return AlignedGroups(counts, rows.size(0), kAlignment, rows.device());
    };
    if (context->needs_input_grad(0)) {
      const Tensor transposed = weights.transpose(1, 2).contiguous();
      result[0] = (emulates ? emulated(gradient, transposed, counts, of_out)
                            : scaled(gradient, transposed, aligned(), of_out))
                      .to(rows.scalar_type());
    }
    if (context->needs_input_grad(1)) {
      result[1] = (emulates ? nn::grouped_product_weights_gradient(
                                  through_float8_by_group(gradient, counts),
                                  through_float8_by_group(rows, counts), counts)
                                  .to(kResult)
                            : scaled_weights_gradient(gradient, rows, counts, aligned()))
                      .to(weights.scalar_type());
    }
    return result;
  }
};

}  // namespace

Tensor float8_grouped_product(const Tensor& rows, const Tensor& weights, const Tensor& counts,
                              Float8Products products, const ExpertRanks& ranks) {
  for (const std::int64_t features : {weights.size(1), weights.size(2)}) {
    if (features % kAlignment == 0) continue;
    throw ConfigError(concat("quantize.grouped_mm.float8: experts of ", weights.size(1), " x ",
                             weights.size(2), " features, which are not multiples of ",
                             kAlignment));
  }
  return Float8GroupedProduct::apply(rows, weights, counts, products, ranks);
}

}  // namespace titan::components
