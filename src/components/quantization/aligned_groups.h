#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace titan::components {

/// Rows in groups, laid so that each group ends at a multiple of `alignment`, as a GPU's grouped kernels want contracted dimensions to
/// be; what is between and behind them is zero. The host reads no count: there is room for the most that there may be.
class AlignedGroups {
 public:
  /// `counts` int64 `[groups]`, of `rows` in all; everything lies on `device`.
  AlignedGroups(const at::Tensor& counts, std::int64_t rows, std::int64_t alignment,
                at::Device device);

  /// int32 `[groups]`: where each group ends.
  const at::Tensor& ends() const { return ends_; }
  /// int64: the group of each row of what is aligned; behind the last, the last.
  at::Tensor group_of_rows() const;

  /// `[rows, n]` as `[size, n]`.
  at::Tensor aligned(const at::Tensor& rows) const;
  /// And back.
  at::Tensor unaligned(const at::Tensor& rows) const;

 private:
  std::int64_t size_;
  at::Tensor places_;  // of the rows
  at::Tensor ends_;
};

/// A matrix `[rows, columns]` in float8 (e4m3), every column of every group with a scale, a power of two.
struct GroupedColumns {
  at::Tensor values;  // lies column by column
  at::Tensor scales;  // float32 `[groups, columns]`
};
GroupedColumns cast_columns_by_group(const at::Tensor& aligned, const AlignedGroups& groups);

}  // namespace titan::components
