#include "titan/components/quantization/float8_all_gather.h"

#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <set>

#include "components/quantization/float8_operators.h"
#include "titan/parallel/layout.h"

namespace titan::components {

namespace {

constexpr at::ScalarType kType = at::kFloat8_e4m3fn;

/// Zero of a rank that has no rows.
at::Tensor largest_entry(const at::Tensor& shard) {
  if (shard.numel() == 0) return at::zeros({}, shard.options().dtype(at::kFloat));
  return largest_entries(shard, Granularity::kTensor).to(at::kFloat);
}

}  // namespace

std::optional<Float8Matrix> Float8AllGather::gathered(const nn::Parameter& weight) const {
  const auto found = weights_.find(&weight);
  if (found == weights_.end() || !found->second.values.defined()) return std::nullopt;
  return Float8Matrix{found->second.values, found->second.scale};
}

void Float8AllGather::make_scales(const std::vector<Shard>& shards) {
  if (shards.empty()) return;
  std::vector<at::Tensor> entries;
  std::set<nn::Axis> axes;
  for (const auto& [parameter, tensor] : shards) {
    entries.push_back(largest_entry(tensor));
    for (const nn::Cut& cut : parameter->cuts) axes.insert(cut.axis);
  }
  at::Tensor largest = at::stack(entries);
  // A weight that an axis has not cut is the same on its ranks, and so is its largest entry.
  for (const nn::Axis axis : axes) {
    comm::ProcessGroup& ranks = groups_->find(parallel::mesh_dim_of(axis));
    if (ranks.size() > 1) ranks.all_reduce(largest, comm::ReduceOp::kMax).wait();
  }
  const at::Tensor scales = float8_scales(largest, kType, /*power_of_two=*/false);
  for (std::size_t i = 0; i < shards.size(); ++i) {
    weights_.at(shards[i].parameter).scale = scales[static_cast<std::int64_t>(i)];
  }
}

void Float8AllGather::forget_scales() {
  for (auto& [parameter, weight] : weights_) weight.scale = at::Tensor();
}

void Float8AllGather::compute_scales() {
  const c10::NoGradGuard no_grad;
  std::vector<Shard> shards;
  for (const nn::Parameter* parameter : gathered_) {
    shards.push_back(
        {parameter, parameter->tensor.detach().to(weights_.at(parameter).values.device())});
  }
  make_scales(shards);
}

void Float8AllGather::pre_all_gather(const std::vector<Part>& parts) {
  std::vector<Shard> unknown;
  for (const Part& part : parts) {
    if (!weights_.at(part.parameter).scale.defined())
      unknown.push_back({part.parameter, part.shard});
  }
  make_scales(unknown);
  for (const Part& part : parts) {
    if (part.shard.numel() == 0) continue;
    const at::Tensor values = cast_to_float8(part.shard, weights_.at(part.parameter).scale, kType,
                                             /*by_column=*/false);
    part.bytes.copy_(values.view(at::kByte).reshape(-1));
  }
}

void Float8AllGather::post_all_gather(const nn::Parameter& parameter, const at::Tensor& bytes) {
  weights_.at(&parameter).values = bytes.view(kType);
  gathered_.push_back(&parameter);
}

}  // namespace titan::components
