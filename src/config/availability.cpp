#include "titan/config/availability.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "config/degree_options.h"
#include "config/rules.h"
#include "config/value_text.h"
#include "titan/config/options.h"

namespace titan::config {
namespace {

/// Something a config may ask for that this build cannot do. A row goes when its feature comes.
struct Missing {
  std::string_view option;
  bool (*needed)(const JobConfig&);
  std::string_view what;
};

using C = JobConfig;

constexpr Missing kMissing[] = {
    {"training.dataloader.num_workers",
     [](const C& c) { return c.training.dataloader.num_workers > 0; },
     "worker processes; a background thread already prepares batches ahead"},
    {"training.dataloader.pin_memory", [](const C& c) { return c.training.dataloader.pin_memory; },
     "batches in page-locked memory"},
    {"optimizer.early_step_in_backward",
     [](const C& c) { return c.optimizer.early_step_in_backward; },
     "the optimizer step inside backward"},
    {"model.converters",
     [](const C& c) {
       return std::ranges::any_of(c.model.converters, [](const std::string& name) {
         return name.starts_with("quantize.");
       });
     },
     "quantized training"},
    {"model.print_after_conversion", [](const C& c) { return c.model.print_after_conversion; },
     "the listing of converted modules"},
    {"activation_checkpoint.mode",
     [](const C& c) {
       return c.activation_checkpoint.mode == ActivationCheckpointMode::kMemoryBudget;
     },
     "activation checkpointing by memory budget"},
    {"activation_checkpoint.debug", [](const C& c) { return c.activation_checkpoint.debug; },
     "the record of recomputed operators"},
    {"compile.enable", [](const C& c) { return c.compile.enable; }, "compiled models"},
    {"checkpoint.initial_load_in_hf_quantized",
     [](const C& c) { return c.checkpoint.initial_load_in_hf_quantized; },
     "quantized Hugging Face checkpoints"},
    {"memory_estimation.disable_fake_mode",
     [](const C& c) { return c.memory_estimation.disable_fake_mode; },
     "a forecast that allocates what it counts; --estimate needs no memory"},
    {"fault_tolerance.enable", [](const C& c) { return c.fault_tolerance.enable; },
     "fault tolerance"},
    {"parallelism.tensor_parallel_degree",
     [](const C& c) { return c.parallelism.tensor_parallel_degree > 1; }, "tensor parallelism"},
    {"parallelism.pipeline_parallel_degree",
     [](const C& c) { return c.parallelism.pipeline_parallel_degree > 1; }, "pipeline parallelism"},
    {"parallelism.context_parallel_degree",
     [](const C& c) { return c.parallelism.context_parallel_degree > 1; }, "context parallelism"},
    {"parallelism.expert_parallel_degree",
     [](const C& c) { return c.parallelism.expert_parallel_degree > 1; }, "expert parallelism"},
    {"parallelism.expert_tensor_parallel_degree",
     [](const C& c) { return c.parallelism.expert_tensor_parallel_degree > 1; },
     "expert parallelism"},
    {"parallelism.expert_parallel_comm_backend",
     [](const C& c) {
       return c.parallelism.expert_parallel_comm_backend != ExpertCommBackend::kStandard;
     },
     "expert parallelism"},
    {"job.custom_config_module", [](const C& c) { return !c.job.custom_config_module.empty(); },
     "options of other programs; this one is C++ and cannot import a Python module"},
    {"experimental.custom_import", [](const C& c) { return !c.experimental.custom_import.empty(); },
     "imports; this program is C++ and cannot import a Python module"},
};

}  // namespace

Problems availability_problems(const JobConfig& config, const Origins& origins,
                               std::int64_t world_size) {
  Problems problems;
  const Rules rules{config, origins, world_size, problems};
  for (const Missing& missing : kMissing) {
    if (missing.needed(config)) {
      const Value value = find_option(missing.option)->get(config);
      rules.broken({missing.option}, missing.option, " = ", value_text(value),
                   ": not available in this build yet: ", missing.what);
    }
  }
  return problems;
}

const mesh::Degrees& largest_degrees() {
  static const mesh::Degrees largest = [] {
    mesh::Degrees degrees;
    for (const auto& [name, degree] : kDegreeOptions) {
      JobConfig config;
      find_option(concat("parallelism.", name))->set(config, Value(std::int64_t{2}));
      const bool available = availability_problems(config, Origins(), 2).empty();
      degrees.*degree = available ? std::numeric_limits<std::int64_t>::max() : 1;
    }
    return degrees;
  }();
  return largest;
}

}  // namespace titan::config
