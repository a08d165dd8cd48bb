#include "components/quantization/aligned_groups.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/zeros.h>

#include "components/quantization/float8_operators.h"

namespace titan::components {

namespace {

at::Tensor numbers(std::int64_t count, const at::Tensor& like) {
  return at::arange(count, like.options().dtype(at::kLong));
}

}  // namespace

AlignedGroups::AlignedGroups(const at::Tensor& counts, std::int64_t rows, std::int64_t alignment,
                             at::Device device) {
  const auto aligned = [alignment](const auto& length) {
    return (length + (alignment - 1)).floor_divide(alignment) * alignment;
  };
  const at::Tensor lengths = counts.to(device, /*non_blocking=*/true);
  const at::Tensor ends = lengths.cumsum(0);
  const at::Tensor room = aligned(lengths);
  const at::Tensor aligned_ends = room.cumsum(0);
  const std::int64_t most = rows + lengths.size(0) * (alignment - 1);
  size_ = (most + alignment - 1) / alignment * alignment;
  const at::Tensor row = numbers(rows, lengths);
  const at::Tensor group = at::searchsorted(ends, row, /*out_int32=*/false, /*right=*/true);
  places_ = row + ((aligned_ends - room) - (ends - lengths)).index_select(0, group);
  ends_ = aligned_ends.to(at::kInt);
}

at::Tensor AlignedGroups::group_of_rows() const {
  return at::searchsorted(ends_.to(at::kLong), numbers(size_, ends_), /*out_int32=*/false,
                          /*right=*/true)
      .clamp_max(ends_.size(0) - 1);
}

at::Tensor AlignedGroups::aligned(const at::Tensor& rows) const {
  return at::zeros({size_, rows.size(1)}, rows.options()).index_copy_(0, places_, rows);
}

at::Tensor AlignedGroups::unaligned(const at::Tensor& rows) const {
  return rows.index_select(0, places_);
}

GroupedColumns cast_columns_by_group(const at::Tensor& aligned, const AlignedGroups& groups) {
  constexpr at::ScalarType kType = at::kFloat8_e4m3fn;
  const double most = largest_float8(kType);
  const at::Tensor group = groups.group_of_rows();
  const at::Tensor largest =
      at::zeros({groups.ends().size(0), aligned.size(1)}, aligned.options().dtype(at::kFloat))
          .index_reduce_(0, group, aligned.to(at::kFloat).abs(), "amax");
  const at::Tensor scales = float8_scales(largest, kType, /*power_of_two=*/true);
  const at::Tensor scaled = aligned.to(at::kFloat) * scales.index_select(0, group);
  return {scaled.clamp(-most, most).t().contiguous().to(kType).t(), scales};
}

}  // namespace titan::components
