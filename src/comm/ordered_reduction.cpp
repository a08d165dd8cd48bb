#include "comm/ordered_reduction.h"

#include <ATen/ops/add.h>
#include <ATen/ops/maximum.h>
#include <c10/core/GradMode.h>

namespace titan::comm {

void reduce_in_order(const at::Tensor& result, const std::vector<at::Tensor>& rows,
                     std::int64_t own, ReduceOp op) {
  const c10::NoGradGuard no_grad;
  if (rows.size() == 1) {
    if (!result.is_same(rows[0])) result.copy_(rows[0]);
    return;
  }
  // The result may be a row that is still to come: it is written last.
  const at::Tensor& scratch = rows[own == 0 ? 1 : 0];
  at::Tensor so_far = rows[0];
  for (std::size_t i = 1; i < rows.size(); ++i) {
    at::Tensor sum = i + 1 == rows.size() ? result : scratch;
    if (op == ReduceOp::kSum) {
      at::add_out(sum, so_far, rows[i]);
    } else {
      at::maximum_out(sum, so_far, rows[i]);
    }
    so_far = sum;
  }
}

}  // namespace titan::comm
