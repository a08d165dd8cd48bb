#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "titan/comm/rank_context.h"
#include "titan/mesh/parallel_dims.h"
#include "titan/nn/module.h"

namespace titan::parallel {

// What a parameter's cuts mean on the ranks of a job. Nobody else reads them.

using Parameters = std::vector<nn::Parameter*>;

/// A mesh dimension as an axis of parameters, and back.
constexpr nn::Axis axis_of(mesh::MeshDim dim) { return static_cast<nn::Axis>(dim); }
constexpr mesh::MeshDim mesh_dim_of(nn::Axis axis) { return static_cast<mesh::MeshDim>(axis); }

/// The mesh dimensions whose ranks hold different parts of the parameter, outermost first.
std::vector<mesh::MeshDim> cut_over(const nn::Parameter& parameter);

/// The mesh dimensions that data is spread over, as a parameter sees them.
struct DataAxes {
  mesh::MeshDim shard;      // whose ranks FSDP cuts it over
  mesh::MeshDim replicate;  // whose ranks hold the same part
};
/// Experts get their tokens from the ranks of `ep`: only the rest of the ranks has others.
constexpr DataAxes data_axes(bool of_experts) {
  return {of_experts ? mesh::MeshDim::kEfsdp : mesh::MeshDim::kFsdp, mesh::MeshDim::kDpReplicate};
}

/// The mesh dimensions over whose ranks the parameter's gradient is summed in a step: those that its data
/// is spread over (by FSDP or DDP), then those on which each rank has a part of it (by
/// `sum_partial_gradients`). Dimensions of one rank are left out.
std::vector<mesh::MeshDim> summed_over(const nn::Parameter& parameter,
                                       const mesh::ParallelDims& dims);

/// The whole of `local`, which is cut as the parameter is: the parameter itself, its gradient, its
/// optimizer's state. All ranks that hold parts call it together and get it; it needs the memory of the
/// whole, twice for a moment. Without cuts it is `local` itself.
at::Tensor full_tensor(const at::Tensor& local, const nn::Parameter& parameter,
                       const comm::RankContext& context);

/// Sums the gradients of parameters that are whole but have a part of their gradient on each rank of some
/// axes (`partial_over`): once per step, when backward and FSDP are done. All ranks call it together.
void sum_partial_gradients(const Parameters& parameters, const comm::RankContext& context);

}  // namespace titan::parallel
