#include "titan/config/availability.h"

#include <algorithm>
#include <limits>
#include <span>
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
    {"activation_checkpoint.mode",
     [](const C& c) {
       return c.activation_checkpoint.mode == ActivationCheckpointMode::kMemoryBudget;
     },
     "activation checkpointing by memory budget"},
    {"fault_tolerance.enable", [](const C& c) { return c.fault_tolerance.enable; },
     "fault tolerance"},
    {"parallelism.context_parallel_load_balancer",
     [](const C& c) {
       return c.parallelism.context_parallel_degree > 1 &&
              c.parallelism.context_parallel_load_balancer == LoadBalancer::kPtrr;
     },
     "balancing by the blocks of a document mask"},
    {"parallelism.expert_parallel_comm_backend",
     [](const C& c) {
       return c.parallelism.expert_parallel_comm_backend != ExpertCommBackend::kStandard;
     },
     "the DeepEP library, whose kernels send rows between GPUs by themselves and which is not "
     "linked "
     "into this program. The back end \"standard\" sends the same rows by all-to-all"},
};

/// What the original has and this program never will, with what there is in its place.
constexpr Missing kReplaced[] = {
    {"activation_checkpoint.debug", [](const C& c) { return c.activation_checkpoint.debug; },
     "it has PyTorch record the operators of a recomputation. Here a block that saves other "
     "tensors when it is run again ends the run by itself, and --debug.log_hashes finds the first "
     "tensor that differs between two runs. Leave it out"},
    {"memory_estimation.disable_fake_mode",
     [](const C& c) { return c.memory_estimation.disable_fake_mode; },
     "a forecast allocates nothing here. To measure with real tensors, train a step "
     "(--training.steps=1): its log line has the peak, and out of memory the forecast stands "
     "beside it. Leave it out"},
    {"job.custom_config_module", [](const C& c) { return !c.job.custom_config_module.empty(); },
     "a Python module cannot be imported here. Options of the original's experiments are among "
     "this program's own where it has them (--help), a model is chosen with model.name, and one of "
     "your own is registered in C++ (docs/design.md, \"Where is it?\"). Leave it out"},
    {"experimental.custom_import", [](const C& c) { return !c.experimental.custom_import.empty(); },
     "a Python module cannot be imported here. A model is chosen with model.name, a converter with "
     "model.converters, and those of your own are registered in C++ (docs/design.md, \"Where is "
     "it?\"). Leave it out"},
};

}  // namespace

Problems availability_problems(const JobConfig& config, const Origins& origins,
                               std::int64_t world_size) {
  Problems problems;
  const Rules rules{config, origins, world_size, problems};
  const auto report = [&](std::span<const Missing> list, std::string_view kind) {
    for (const Missing& missing : list) {
      if (!missing.needed(config)) continue;
      const Value value = find_option(missing.option)->get(config);
      rules.broken({missing.option}, missing.option, " = ", value_text(value), kind, missing.what);
    }
  };
  report(kMissing, ": not available in this build yet: ");
  report(kReplaced, ": has no place in this program: ");
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
