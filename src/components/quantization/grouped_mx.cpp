#include <ATen/TensorOperators.h>
#include <ATen/ops/_scaled_grouped_mm.h>
#include <ATen/ops/arange.h>

#include "components/quantization/aligned_groups.h"
#include "components/quantization/emulated_operators.h"
#include "components/quantization/grouped_format.h"
#include "components/quantization/mx_operators.h"
#include "titan/nn/moe/grouped_product.h"

namespace titan::components {

namespace {

using at::Tensor;

constexpr at::ScalarType kType = at::kBFloat16;
constexpr MXScaling kScaling = MXScaling::kRceil;

class Emulated : public GroupedFormat {
 public:
  /// Blocks are within a rank's part of n.
  Tensor product(const Tensor& rows, const Tensor& matrices, const Tensor& counts,
                 comm::ProcessGroup*) const override {
    return nn::grouped_product(through_mx(rows, kScaling, kType),
                               through_mx(matrices, kScaling, kType), counts);
  }

  Tensor weights_gradient(const Tensor& gradient, const Tensor& rows,
                          const Tensor& counts) const override {
    return nn::grouped_product_weights_gradient(
        through_mx_by_group(gradient, counts, kScaling, kType),
        through_mx_by_group(rows, counts, kScaling, kType), counts);
  }
};

/// By the units of compute capability 10.0.
class Scaled : public GroupedFormat {
 public:
  Tensor product(const Tensor& rows, const Tensor& matrices, const Tensor& counts,
                 comm::ProcessGroup*) const override {
    const AlignedGroups groups(counts, rows.size(0), kMXBlock, rows.device());
    const auto [left, of_left] =
        cast_to_mx_by_group(groups.aligned(rows), groups.ends(), MXGroups::kRows, kScaling);
    // The matrices one below the other: groups of as many rows each.
    const std::int64_t count = matrices.size(0);
    const std::int64_t size = matrices.size(1);
    const Tensor ends = at::arange(size, size * count + 1, size, groups.ends().options());
    const auto [right, of_right] = cast_to_mx_by_group(matrices.reshape({-1, matrices.size(2)}),
                                                       ends, MXGroups::kRows, kScaling);
    const std::int64_t scales = (size + 127) / 128 * 128 * of_right.size(1);
    return groups.unaligned(at::_scaled_grouped_mm(
        left, right.view(matrices.sizes()).transpose(1, 2), of_left,
        of_right.view(-1).narrow(0, 0, count * scales).view({count, scales}), groups.ends(),
        /*bias=*/{}, /*scale_result=*/{}, kType));
  }

  Tensor weights_gradient(const Tensor& gradient, const Tensor& rows,
                          const Tensor& counts) const override {
    const AlignedGroups groups(counts, rows.size(0), kMXBlock, rows.device());
    const auto cast = [&groups](const Tensor& matrix) {
      return cast_to_mx_by_group(groups.aligned(matrix).t(), groups.ends(), MXGroups::kColumns,
                                 kScaling);
    };
    const auto [left, of_left] = cast(gradient);
    const auto [right, of_right] = cast(rows);
    const Tensor result =
        at::_scaled_grouped_mm(left, right.t(), of_left, of_right, groups.ends(), {}, {}, kType);
    // A group without rows has no product: what is in its place is anything.
    return result.masked_fill((counts == 0).view({-1, 1, 1}).to(result.device()), 0.0);
  }
};

}  // namespace

const GroupedFormat& grouped_mx(bool emulated) {
  static const Emulated in_bfloat16;
  static const Scaled scaled;
  return emulated ? static_cast<const GroupedFormat&>(in_bfloat16) : scaled;
}

}  // namespace titan::components
