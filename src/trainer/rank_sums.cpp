#include "trainer/rank_sums.h"

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

namespace titan::trainer {

using mesh::MeshDim;

RankSums::RankSums(const comm::RankContext& context)
    : world_(context.world_size > 1 ? &context.groups->world() : nullptr),
      device_(context.device),
      counts_(std::ranges::all_of(
          std::array{MeshDim::kPp, MeshDim::kCp, MeshDim::kTp},
          [&](MeshDim dim) { return context.dims.coordinate(dim, context.rank) == 0; })) {}

std::vector<double> RankSums::sum(std::vector<double> mine) const {
  if (world_ == nullptr) return mine;
  if (!counts_) std::ranges::fill(mine, 0.0);
  const at::Tensor numbers = at::tensor(mine, at::kDouble).to(device_);
  world_->all_reduce(numbers).wait();
  const at::Tensor sums = numbers.cpu();
  std::copy_n(sums.const_data_ptr<double>(), mine.size(), mine.begin());
  return mine;
}

double RankSums::max(double mine) const {
  if (world_ == nullptr) return mine;
  const at::Tensor number = at::scalar_tensor(mine, at::kDouble).to(device_);
  world_->all_reduce(number, comm::ReduceOp::kMax).wait();
  return number.item<double>();
}

bool RankSums::any(bool mine) const { return max(mine ? 1.0 : 0.0) > 0; }

}  // namespace titan::trainer
