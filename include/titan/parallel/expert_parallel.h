#pragma once

#include <string>
#include <string_view>

#include "titan/comm/rank_context.h"
#include "titan/nn/module.h"
#include "titan/parallel/selective_recompute.h"
#include "titan/parallel/tensor_parallel.h"

namespace titan::parallel {

/// Shares out the experts of the mixtures (nn::MoE) that fit `mixtures` (module_pattern.h), as "layers.*.moe", over the ranks of
/// `ep`: each has whole experts, and rows are sent to them and back. With expert tensor parallelism (`etp`) the ranks of a row of
/// the mesh share the hidden features of these experts, and do so for the same rows; without, the ranks of `tp` share out the
/// tokens. For a model on the meta device, behind the tensor-parallel plan, whose lines leave the experts alone. Without expert
/// parallelism nothing is done.
void apply_expert_parallel(nn::Module& model, std::string_view mixtures,
                           const comm::RankContext& context);

/// The lines of a tensor-parallel plan for the mixtures that fit `mixtures`: in and out are tokens, cut along dimension 1. Within, every
/// rank has all tokens, and a part of every expert, or as `apply_expert_parallel` says.
TensorPlan mixture_plan(const std::string& mixtures, const mesh::ParallelDims& dims);

/// The reference's list for models with experts: as for dense ones, and rows that were sent; and, in every mode, how many rows
/// each rank has sent, so that no rank asks again when a block is run again.
OperatorSavePolicy expert_save_policy(const mesh::ParallelDims& dims);

}  // namespace titan::parallel
