#include "titan/parallel/clip_grad_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace titan::parallel {

using mesh::MeshDim;

namespace {

/// Parameters that are cut over the same axes, by their places in the list.
using ByAxes = std::map<std::vector<MeshDim>, std::vector<std::size_t>>;

at::Tensor gradient_of(const nn::Parameter& parameter) { return parameter.tensor.grad(); }

/// A parameter that no rank can have a gradient of is left out, and one that another stage stands for; so is
/// one without a gradient on this rank, unless others hold parts of it and wait for this one's.
ByAxes group_by_axes(const Parameters& parameters) {
  ByAxes result;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::vector<MeshDim> axes = cut_over(*parameters[i]);
    if (!parameters[i]->counted) continue;
    const bool takes_part = gradient_of(*parameters[i]).defined() ||
                            (!axes.empty() && parameters[i]->tensor.requires_grad());
    if (takes_part) result[axes].push_back(i);
  }
  return result;
}

/// The norm of each tensor, `[n]`; of one that is not there 0.
at::Tensor norms_of(const Parameters& parameters, const std::vector<std::size_t>& places) {
  std::vector<at::Tensor> grads;
  for (const std::size_t i : places) {
    const at::Tensor gradient = gradient_of(*parameters[i]);
    grads.push_back(gradient.defined() ? gradient
                                       : at::zeros({0}, parameters[i]->tensor.options()));
  }
  return at::stack(at::_foreach_norm(grads, 2.0));
}

/// √(Σ norms²) over the ranks of a group, element by element: in the order in which PyTorch rounds.
at::Tensor combine(const at::Tensor& norms, comm::ProcessGroup& group) {
  if (group.size() == 1) return norms;
  // Norms of offloaded gradients go to the device and come back, for which the host waits.
  const at::Tensor squares =
      norms.pow(2.0).to(group.device(), norms.scalar_type(), /*non_blocking=*/true);
  group.all_reduce(squares).wait();
  return squares.pow(0.5).to(norms.device());
}

/// Norms of all tensors, in the order of the parameters.
at::Tensor in_order(const std::vector<at::Tensor>& norms, const ByAxes& by_axes) {
  if (norms.size() == 1) return norms.front();
  std::vector<std::size_t> places;
  for (const auto& [axes, some] : by_axes) places.insert(places.end(), some.begin(), some.end());
  std::vector<std::int64_t> order(places.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](std::int64_t i) { return places[static_cast<std::size_t>(i)]; });
  const at::Tensor all = at::cat(norms);
  return all.index_select(
      0, at::tensor(order, at::kLong).to(all.device(), at::kLong, /*non_blocking=*/true));
}

/// Of parameters that are here, over all ranks that hold parts of them.
at::Tensor norm_of(const Parameters& parameters, const comm::RankContext& context) {
  const ByAxes by_axes = group_by_axes(parameters);
  std::vector<at::Tensor> norms;
  for (const auto& [axes, places] : by_axes) {
    at::Tensor some = norms_of(parameters, places);
    for (const MeshDim dim : axes) some = combine(some, context.group(dim));
    norms.push_back(std::move(some));
  }
  if (!norms.empty()) return at::linalg_vector_norm(in_order(norms, by_axes), 2.0);
  const at::Device device =
      parameters.empty() ? context.device : parameters.front()->tensor.device();
  return at::zeros({}, at::TensorOptions().device(device));
}

/// As PyTorch has no norm of tensors of two meshes, TorchTitan takes two; ours are in its order.
at::Tensor norm_with_experts(const Parameters& parameters, const comm::RankContext& context) {
  Parameters experts;
  Parameters others;
  for (nn::Parameter* parameter : parameters) {
    const std::vector<MeshDim> axes = cut_over(*parameter);
    (std::ranges::count(axes, MeshDim::kEp) > 0 ? experts : others).push_back(parameter);
  }
  const at::Tensor of_experts = norm_of(experts, context);
  return (of_experts.pow(2.0) + norm_of(others, context).to(of_experts.device()).pow(2.0)).pow(0.5);
}

}  // namespace

at::Tensor total_grad_norm(const Parameters& parameters, const comm::RankContext& context) {
  const at::Tensor total = context.dims.ep_enabled() ? norm_with_experts(parameters, context)
                                                     : norm_of(parameters, context);
  return combine(total, context.group(MeshDim::kPp));
}

at::Tensor clip_factor(double max_norm, const at::Tensor& total_norm) {
  return (max_norm / (total_norm + 1e-6)).clamp_max(1.0);
}

void clip_grads_with_norm_(const Parameters& parameters, double max_norm,
                           const at::Tensor& total_norm) {
  std::vector<at::Tensor> grads;
  for (const nn::Parameter* parameter : parameters) {
    const at::Tensor gradient = gradient_of(*parameter);
    if (gradient.defined()) grads.push_back(gradient);
  }
  if (grads.empty()) return;
  // Multiplying by 1 costs less than asking the device whether it is needed.
  at::_foreach_mul_(grads, clip_factor(max_norm, total_norm));
}

}  // namespace titan::parallel
