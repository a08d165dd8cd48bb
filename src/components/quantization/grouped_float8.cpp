#include <ATen/TensorOperators.h>
#include <ATen/ops/_scaled_grouped_mm.h>

#include "components/quantization/aligned_groups.h"
#include "components/quantization/emulated_operators.h"
#include "components/quantization/float8_operators.h"
#include "components/quantization/grouped_format.h"
#include "titan/components/quantization/float8.h"
#include "titan/nn/moe/grouped_product.h"

namespace titan::components {

namespace {

using at::Tensor;

constexpr at::ScalarType kType = at::kFloat8_e4m3fn;
constexpr at::ScalarType kResult = at::kBFloat16;
/// Rows of a group in the GPU's kernels.
constexpr std::int64_t kAlignment = 16;

/// What each row is multiplied by. `ranks`: those that have other columns.
Tensor scales_of_rows(const Tensor& matrix, comm::ProcessGroup* ranks) {
  return float8_scale(matrix, {kType, Granularity::kRow, /*power_of_two=*/true},
                      matrix.numel() == 0 ? nullptr : ranks);
}

/// The matrices of all groups, `[groups, a, b]`, as one below the other.
Tensor below_each_other(const Tensor& matrices) { return matrices.reshape({-1, matrices.size(2)}); }

class Emulated : public GroupedFormat {
 public:
  Tensor product(const Tensor& rows, const Tensor& matrices, const Tensor& counts,
                 comm::ProcessGroup* ranks) const override {
    const Tensor flat = below_each_other(matrices);
    const Tensor left = through_float8(rows, scales_of_rows(rows, ranks), kType);
    const Tensor right =
        through_float8(flat, scales_of_rows(flat, ranks), kType).view(matrices.sizes());
    return nn::grouped_product(left, right, counts).to(kResult);
  }

  Tensor weights_gradient(const Tensor& gradient, const Tensor& rows,
                          const Tensor& counts) const override {
    return nn::grouped_product_weights_gradient(through_float8_by_group(gradient, counts),
                                                through_float8_by_group(rows, counts), counts)
        .to(kResult);
  }
};

/// By the GPU's float8 units.
class Scaled : public GroupedFormat {
 public:
  Tensor product(const Tensor& rows, const Tensor& matrices, const Tensor& counts,
                 comm::ProcessGroup* ranks) const override {
    const AlignedGroups groups(counts, rows.size(0), kAlignment, rows.device());
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

  Tensor weights_gradient(const Tensor& gradient, const Tensor& rows,
                          const Tensor& counts) const override {
    const AlignedGroups groups(counts, rows.size(0), kAlignment, rows.device());
    const GroupedColumns left = cast_columns_by_group(groups.aligned(gradient), groups);
    const GroupedColumns right = cast_columns_by_group(groups.aligned(rows), groups);
    const Tensor result = at::_scaled_grouped_mm(
        left.values.t(), right.values, left.scales.reshape(-1).reciprocal(),
        right.scales.reshape(-1).reciprocal(), groups.ends(), {}, {}, kResult, true);
    // What the kernel leaves in place of a group without rows is anything.
    return result.masked_fill((counts == 0).view({-1, 1, 1}).to(result.device()), 0.0);
  }
};

}  // namespace

const GroupedFormat& grouped_float8(bool emulated) {
  static const Emulated in_float32;
  static const Scaled scaled;
  return emulated ? static_cast<const GroupedFormat&>(in_float32) : scaled;
}

}  // namespace titan::components
