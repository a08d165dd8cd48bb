#include "trainer/rank_sums.h"

#include <ATen/ops/full_like.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>

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
                                 .to(device_, at::kDouble, /*non_blocking=*/true);
  world_.all_reduce(numbers).wait();
  const at::Tensor sums = numbers.cpu();
  const double* of = sums.const_data_ptr<double>();
  return {of[0], of[1], of[2] > 0};
}

StepFigures RankSums::sum_of_step(const at::Tensor& loss, const at::Tensor& norm, bool any,
                                  std::optional<double> scale) const {
  std::vector<at::Tensor> parts = {counts_loss_ ? loss : at::zeros_like(loss),
                                   at::full_like(loss, any ? 1.0 : 0.0), loss};
  // That of offloaded gradients is on the host already.
  if (norm.device() == loss.device()) parts.push_back(norm);
  const at::Tensor figures = at::stack(parts).to(at::kDouble);
  const at::Tensor largest = figures.narrow(0, 2, 1);
  if (scale) largest.mul_(*scale);
  if (world_.size() > 1) {
    world_.all_reduce(figures.narrow(0, 0, 2)).wait();
    if (scale) world_.all_reduce(largest, comm::ReduceOp::kMax).wait();
  }
  const at::Tensor on_host = figures.cpu();
  const double* of = on_host.const_data_ptr<double>();
  return {of[0], of[2], parts.size() > 3 ? of[3] : norm.item<double>(), of[1] > 0};
}

bool RankSums::any(bool mine) const {
  if (world_.size() == 1) return mine;
  const at::Tensor number =
      at::scalar_tensor(mine ? 1.0 : 0.0, at::TensorOptions().dtype(at::kDouble).device(device_));
  world_.all_reduce(number, comm::ReduceOp::kMax).wait();
  return number.item<double>() > 0;
}

}  // namespace titan::trainer
