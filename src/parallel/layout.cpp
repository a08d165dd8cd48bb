#include "titan/parallel/layout.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <map>

#include "titan/base/errors.h"
#include "titan/nn/chunk.h"

namespace titan::parallel {

using mesh::MeshDim;

namespace {

/// Undoes one cut: all ranks' parts of a dimension that was `length` long before it.
at::Tensor gather(const at::Tensor& part, const nn::Cut& cut, std::int64_t length,
                  comm::ProcessGroup& group) {
  TITAN_CHECK(group.size() == cut.parts, "a parameter cut into ", cut.parts,
              " parts over a group of ", group.size(), " ranks");
  // Parts come one behind the other, so that the dimension must be the first.
  const at::Tensor rows = part.movedim(cut.dim, 0);
  std::vector<std::int64_t> sizes = rows.sizes().vec();
  sizes[0] = nn::chunk_length(length, cut.parts);
  const at::Tensor mine = at::zeros(sizes, rows.options().device(group.device()));
  mine.narrow(0, 0, rows.size(0)).copy_(rows);
  sizes[0] *= cut.parts;
  const at::Tensor all = at::empty(sizes, mine.options());
  group.all_gather(all, mine).wait();
  // Whole parts come first: what is missing is at the end.
  return all.narrow(0, 0, length).movedim(0, cut.dim).to(part.device());
}

}  // namespace

std::vector<MeshDim> cut_over(const nn::Parameter& parameter) {
  std::vector<MeshDim> result;
  for (const nn::Cut& cut : parameter.cuts) result.push_back(mesh_dim_of(cut.axis));
  return result;
}

std::vector<MeshDim> summed_over(const nn::Parameter& parameter, const mesh::ParallelDims& dims) {
  const std::vector<MeshDim> cuts = cut_over(parameter);
  const DataAxes data = data_axes(/*of_experts=*/std::ranges::count(cuts, MeshDim::kEp) > 0);
  std::vector<MeshDim> result = {data.shard, data.replicate};
  for (const nn::Axis axis : parameter.partial_over) result.push_back(mesh_dim_of(axis));
  std::erase_if(result, [&](MeshDim dim) { return dims.size(dim) == 1; });
  return result;
}

at::Tensor full_tensor(const at::Tensor& local, const nn::Parameter& parameter,
                       const comm::RankContext& context) {
  const c10::NoGradGuard no_grad;
  at::Tensor result = local.detach();
  for (std::size_t i = parameter.cuts.size(); i-- > 0;) {
    const nn::Cut& cut = parameter.cuts[i];
    if (cut.parts == 1) continue;
    const std::int64_t length = parameter.sizes_after(i)[static_cast<std::size_t>(cut.dim)];
    result = gather(result, cut, length, context.group(mesh_dim_of(cut.axis)));
  }
  return result.contiguous();
}

namespace {

/// Sums over the ranks of a group, which may be on another device than offloaded gradients.
void sum_in_place(const std::vector<at::Tensor>& gradients, comm::ProcessGroup& group) {
  std::vector<at::Tensor> sums;
  for (const at::Tensor& gradient : gradients) sums.push_back(gradient.to(group.device()));
  group.all_reduce_coalesced(sums).wait();
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (!sums[i].is_same(gradients[i])) gradients[i].copy_(sums[i]);
  }
}

}  // namespace

void sum_partial_gradients(const Parameters& parameters, const comm::RankContext& context) {
  const c10::NoGradGuard no_grad;
  std::map<std::vector<nn::Axis>, std::vector<at::Tensor>> by_axes;
  for (nn::Parameter* parameter : parameters) {
    if (parameter->partial_over.empty() || !parameter->tensor.requires_grad()) continue;
    at::Tensor& gradient = parameter->tensor.mutable_grad();
    // A rank without one has zero to add, and must come along.
    if (!gradient.defined()) gradient = at::zeros_like(parameter->tensor);
    if (gradient.numel() > 0) by_axes[parameter->partial_over].push_back(gradient);
  }
  for (const auto& [axes, gradients] : by_axes) {
    for (const nn::Axis axis : axes) {
      comm::ProcessGroup& group = context.group(mesh_dim_of(axis));
      if (group.size() > 1) sum_in_place(gradients, group);
    }
  }
}

}  // namespace titan::parallel
