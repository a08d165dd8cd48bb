#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>

#include <cstdint>
#include <vector>

#include "titan/comm/process_group.h"

namespace titan::comm {

// Collectives that autograd differentiates: what goes out in forward comes back in backward. All ranks
// of the group call the same one in forward, and so in backward. They wait for their result; `group`
// outlives the graph. Each is an operator ("titan::all_gather") to whoever watches operators.

/// All ranks' parts of a dimension, in rank order. Backward: the sum over the ranks of each one's part.
at::Tensor all_gather(const at::Tensor& part, std::int64_t dim, ProcessGroup& group);

/// This rank's part of a dimension of the sum over the ranks. The dimension is a multiple of the
/// number of ranks. Backward: all ranks' gradients, in rank order.
at::Tensor reduce_scatter(const at::Tensor& whole, std::int64_t dim, ProcessGroup& group);

/// The sum over the ranks. Backward: the gradient as it is, because every rank has the same sum.
at::Tensor all_reduce(const at::Tensor& part, ProcessGroup& group);

/// The tensor as it is, the same on all ranks, for work that differs from rank to rank. Backward: the
/// sum of the gradients over the ranks.
at::Tensor sum_gradients(const at::Tensor& tensor, ProcessGroup& group);

/// Rows to and from every rank, as ProcessGroup::all_to_all. Backward: the other way round.
at::Tensor all_to_all(const at::Tensor& rows, const std::vector<std::int64_t>& output_splits,
                      const std::vector<std::int64_t>& input_splits, ProcessGroup& group);

/// Rows that are under way to this rank. `rows` has their sizes; their values are there behind `end_all_to_all`.
struct RowsUnderWay {
  at::Tensor rows;
  std::vector<std::int64_t> output_splits;
  std::vector<std::int64_t> input_splits;
  c10::intrusive_ptr<c10::intrusive_ptr_target>
      exchange;  // this one's; autograd's graph holds it, too
};

/// `all_to_all` in two calls, for who has something to compute that needs none of the rows. So it is in backward: the way back
/// begins where forward ended the exchange and is waited for where it began, behind what was computed between the two.
RowsUnderWay begin_all_to_all(const at::Tensor& rows,
                              const std::vector<std::int64_t>& output_splits,
                              const std::vector<std::int64_t>& input_splits, ProcessGroup& group);
at::Tensor end_all_to_all(const RowsUnderWay& under_way);

/// Of rows for everybody's experts: `counts` int64 `[ranks · n]`, those that this rank sends, rank by rank. Returns `[2, ranks · n]`:
/// these, and those that it receives, by the rank that sends them. Not differentiable.
at::Tensor exchange_counts(const at::Tensor& counts, ProcessGroup& group);

}  // namespace titan::comm
