#include "titan/config/transforms.h"

#include <algorithm>

#include "config/describer.h"

namespace titan::config {
namespace {

bool is_layer_frequency_or_op(const std::string& text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool all_digits = std::ranges::all_of(text, is_digit);
  const bool some_not_zero = text.find_first_not_of('0') != std::string::npos;
  return text == "op" || (all_digits && some_not_zero && text.size() <= 9);
}

}  // namespace

void ActivationCheckpoint::describe(Describer<ActivationCheckpoint>& option) {
  option("mode", &ActivationCheckpoint::mode,
         "Which activations to recompute in backward instead of keeping them.");
  option("selective_ac_option", &ActivationCheckpoint::selective_ac_option,
         "Under mode selective: recompute every n-th layer, or choose per operator (op).")
      .must(is_layer_frequency_or_op, "a positive number in digits, or op");
  option("per_op_sac_force_recompute_mm_shapes_by_fqns",
         &ActivationCheckpoint::per_op_sac_force_recompute_mm_shapes_by_fqns,
         "Under option op: matrix products of these modules' shapes are always recomputed.");
  option("early_stop", &ActivationCheckpoint::early_stop,
         "Stop recomputing when all activations needed are there.");
  option("memory_budget", &ActivationCheckpoint::memory_budget,
         "Under mode memory_budget: the share of the activations' memory that is used; 0 "
         "recomputes everything, 1 nothing.")
      .between(0, 1);
  option("visualize_memory_budget_pareto", &ActivationCheckpoint::visualize_memory_budget_pareto,
         "Under mode memory_budget: draw the trade of time for memory into the dump folder's "
         "memory_budget_pareto.");
  option("preserve_rng_state", &ActivationCheckpoint::preserve_rng_state,
         "Recompute with the random numbers of the first time.");
  option("determinism_check", &ActivationCheckpoint::determinism_check,
         "Compare shapes and types of recomputed with first activations.");
  option("debug", &ActivationCheckpoint::debug,
         "List once, per block, what is kept and what is computed again.");
}

void Compile::describe(Describer<Compile>& option) {
  option("enable", &Compile::enable,
         "Fast paths of the components. Nothing is compiled at run time; losses differ from those "
         "without in the last digits.");
  option("components", &Compile::components,
         "model: products, attention, norms, rotations, SwiGLU; loss: made with the last product, "
         "without whole logits; optimizer: clips and updates in one pass.")
      .each_of({"model", "loss", "optimizer"});
  option("backend", &Compile::backend,
         "The original's compiler. There is none here: accepted, and without effect.");
  option("cuda_graphs", &Compile::cuda_graphs,
         "On one GPU: capture forward and backward of a microbatch in step 4 and replay them from "
         "then on, with or without enable. Not in the original.");
}

void Float8Linear::describe(Describer<Float8Linear>& option) {
  option("enable_fsdp_float8_all_gather", &Float8Linear::enable_fsdp_float8_all_gather,
         "Gather parameters in float8 under FSDP. Not together with recipe_name.");
  option("precompute_float8_dynamic_scale_for_fsdp",
         &Float8Linear::precompute_float8_dynamic_scale_for_fsdp,
         "Compute the scales of all parameters at once after the optimizer step.");
  option("recipe_name", &Float8Linear::recipe_name,
         "Recipe of the scales. \"blockwise\" is DeepSeek V3's, with a scale for 128 activations "
         "and for 128 x "
         "128 weights.");
  option("filter_fqns", &Float8Linear::filter_fqns,
         "Layers whose name contains one of these keep their type; auto_filter_small_kn skips "
         "those too small to gain.");
  option("emulate", &Float8Linear::emulate, "Round to float8 but multiply in float32.");
}

void Float8GroupedMM::describe(Describer<Float8GroupedMM>& option) {
  option("fqns", &Float8GroupedMM::fqns,
         "Modules whose experts multiply in float8: names contain one of these. In TOML also one "
         "comma-separated string.")
      .or_comma_separated();
  option("emulate", &Float8GroupedMM::emulate, "Round to float8 but multiply in float32.");
}

void MXLinear::describe(Describer<MXLinear>& option) {
  option("mxfp8_dim1_cast_kernel_choice", &MXLinear::mxfp8_dim1_cast_kernel_choice,
         "Kernel that casts along dimension 1.");
  option("recipe_name", &MXLinear::recipe_name, "Recipe of the scales.")
      .each_of({"mxfp8_cublas", "mxfp8_cublas_rceil", "mxfp8_emulated"});
  option("filter_fqns", &MXLinear::filter_fqns,
         "Layers whose name contains one of these keep their type.");
}

void MXGroupedMM::describe(Describer<MXGroupedMM>& option) {
  option("recipe_name", &MXGroupedMM::recipe_name, "Recipe of the scales.");
  option("fqns", &MXGroupedMM::fqns,
         "Modules whose experts multiply in MXFP8: names contain one of these. In TOML also one "
         "comma-separated string.")
      .or_comma_separated();
}

}  // namespace titan::config
