#pragma once

#include <ATen/core/Tensor.h>

#include "titan/comm/process_group.h"

namespace titan::components {

/// How grouped products of one number format round and multiply. Results are in bfloat16.
class GroupedFormat {
 public:
  virtual ~GroupedFormat() = default;
  /// rows `[R, n]` in groups times the matrices `[groups, m, n]`, transposed: what is summed is n. `ranks`: those with other parts of
  /// n, or null.
  virtual at::Tensor product(const at::Tensor& rows, const at::Tensor& matrices,
                             const at::Tensor& counts, comm::ProcessGroup* ranks) const = 0;
  /// dyᵀ x of every group.
  virtual at::Tensor weights_gradient(const at::Tensor& gradient, const at::Tensor& rows,
                                      const at::Tensor& counts) const = 0;
};

const GroupedFormat& grouped_float8(bool emulated);
const GroupedFormat& grouped_mx(bool emulated);

}  // namespace titan::components
