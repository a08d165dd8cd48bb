#pragma once

#include <optional>
#include <string>
#include <vector>

#include "titan/config/choice.h"

namespace titan::config {

template <class Section>
class Describer;

enum class ActivationCheckpointMode { kSelective, kFull, kMemoryBudget, kNone };
constexpr auto words(ActivationCheckpointMode) {
  return word_list("selective", "full", "memory_budget", "none");
}

enum class DeterminismCheck { kDefault, kNone };
constexpr auto words(DeterminismCheck) { return word_list("default", "none"); }

/// [activation_checkpoint]
struct ActivationCheckpoint {
  ActivationCheckpointMode mode = ActivationCheckpointMode::kSelective;
  std::string selective_ac_option = "2";  ///< every n-th layer, or "op"
  std::vector<std::string> per_op_sac_force_recompute_mm_shapes_by_fqns = {"moe.router.gate"};
  bool early_stop = false;
  double memory_budget = 0.5;
  bool visualize_memory_budget_pareto = false;
  bool preserve_rng_state = true;
  DeterminismCheck determinism_check = DeterminismCheck::kDefault;
  bool debug = false;

  static void describe(Describer<ActivationCheckpoint>& option);
  bool operator==(const ActivationCheckpoint&) const = default;
};

/// [compile]
struct Compile {
  bool enable = false;
  std::vector<std::string> components = {"model", "loss"};
  std::string backend = "inductor";
  bool cuda_graphs = false;

  static void describe(Describer<Compile>& option);
  bool operator==(const Compile&) const = default;
};

enum class Float8Recipe { kTensorwise, kRowwise, kRowwiseWithGwHp, kBlockwise };
constexpr auto words(Float8Recipe) {
  return word_list("tensorwise", "rowwise", "rowwise_with_gw_hp", "blockwise");
}

/// [quantize.linear.float8]
struct Float8Linear {
  bool enable_fsdp_float8_all_gather = false;
  bool precompute_float8_dynamic_scale_for_fsdp = false;
  std::optional<Float8Recipe> recipe_name;
  std::vector<std::string> filter_fqns;
  bool emulate = false;

  static void describe(Describer<Float8Linear>& option);
  bool operator==(const Float8Linear&) const = default;
};

/// [quantize.grouped_mm.float8]
struct Float8GroupedMM {
  std::vector<std::string> fqns;
  bool emulate = false;

  static void describe(Describer<Float8GroupedMM>& option);
  bool operator==(const Float8GroupedMM&) const = default;
};

enum class MXCastKernel { kTriton, kCuda, kTorch };
constexpr auto words(MXCastKernel) { return word_list("triton", "cuda", "torch"); }

/// [quantize.linear.mx]
struct MXLinear {
  MXCastKernel mxfp8_dim1_cast_kernel_choice = MXCastKernel::kTriton;
  std::string recipe_name = "mxfp8_cublas";
  std::vector<std::string> filter_fqns = {"output"};

  static void describe(Describer<MXLinear>& option);
  bool operator==(const MXLinear&) const = default;
};

enum class MXGroupedMMRecipe { kMxfp8, kMxfp8Emulated };
constexpr auto words(MXGroupedMMRecipe) { return word_list("mxfp8", "mxfp8_emulated"); }

/// [quantize.grouped_mm.mx]
struct MXGroupedMM {
  MXGroupedMMRecipe recipe_name = MXGroupedMMRecipe::kMxfp8;
  std::vector<std::string> fqns;

  static void describe(Describer<MXGroupedMM>& option);
  bool operator==(const MXGroupedMM&) const = default;
};

/// [quantize.linear]
struct QuantizeLinear {
  Float8Linear float8;
  MXLinear mx;

  bool operator==(const QuantizeLinear&) const = default;
};

/// [quantize.grouped_mm]
struct QuantizeGroupedMM {
  Float8GroupedMM float8;
  MXGroupedMM mx;

  bool operator==(const QuantizeGroupedMM&) const = default;
};

/// [quantize]: settings of the converters that `model.converters` names.
struct Quantize {
  QuantizeLinear linear;
  QuantizeGroupedMM grouped_mm;

  bool operator==(const Quantize&) const = default;
};

}  // namespace titan::config
