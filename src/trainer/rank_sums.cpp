#include "trainer/rank_sums.h"

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>

namespace titan::trainer {

using mesh::MeshDim;

RankSums::RankSums(const comm::RankContext& context)
    : world_(context.groups->world()), device_(context.device) {
  const auto is_first = [&](MeshDim dim) {
    return context.dims.coordinate(dim, context.rank) == 0;
  };
  counts_loss_ = is_first(MeshDim::kTp);
  counts_tokens_ = counts_loss_ && is_first(MeshDim::kCp) && is_first(MeshDim::kPp);
}

protocols::RankFigures RankSums::sum(const protocols::RankFigures& mine) const {
  if (world_.size() == 1) return mine;
  const at::Tensor numbers = at::tensor({counts_tokens_ ? mine.tokens : 0.0,
                                         counts_loss_ ? mine.loss : 0.0, mine.any ? 1.0 : 0.0},
                                        at::kDouble)
                                 .to(device_);
  world_.all_reduce(numbers).wait();
  const at::Tensor sums = numbers.cpu();
  const double* of = sums.const_data_ptr<double>();
  return {of[0], of[1], of[2] > 0};
}

double RankSums::max(double mine) const {
  if (world_.size() == 1) return mine;
  const at::Tensor number = at::scalar_tensor(mine, at::kDouble).to(device_);
  world_.all_reduce(number, comm::ReduceOp::kMax).wait();
  return number.item<double>();
}

bool RankSums::any(bool mine) const { return max(mine ? 1.0 : 0.0) > 0; }

}  // namespace titan::trainer
