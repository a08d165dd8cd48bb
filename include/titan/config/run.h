#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/config/choice.h"

namespace titan::config {

template <class Section>
class Describer;

/// [job]
struct Job {
  std::vector<std::string> config_file;  ///< every --job.config_file, in order
  std::string dump_folder = "./outputs";
  std::string description = "default job";
  bool print_config = false;
  std::optional<std::string> save_config_file;
  std::string custom_config_module;

  static void describe(Describer<Job>& option);
  bool operator==(const Job&) const = default;
};

/// [profiling]
struct Profiling {
  bool enable_profiling = false;
  std::string save_traces_folder = "profile_traces";
  std::int64_t profile_freq = 10;
  std::int64_t profiler_active = 1;
  std::int64_t profiler_warmup = 3;
  bool enable_memory_snapshot = false;
  bool enable_pipeline_timeline = false;
  std::string save_memory_snapshot_folder = "memory_snapshot";

  static void describe(Describer<Profiling>& option);
  bool operator==(const Profiling&) const = default;
};

/// [metrics]
struct Metrics {
  std::int64_t log_freq = 10;
  bool enable_tensorboard = false;
  bool disable_color_printing = false;
  std::string save_tb_folder = "tb";
  bool save_for_all_ranks = false;
  bool enable_wandb = false;

  static void describe(Describer<Metrics>& option);
  bool operator==(const Metrics&) const = default;
};

/// [memory_estimation]
struct MemoryEstimation {
  bool enable = false;
  bool disable_fake_mode = false;

  static void describe(Describer<MemoryEstimation>& option);
  bool operator==(const MemoryEstimation&) const = default;
};

/// [experimental]
struct Experimental {
  std::string custom_import;
  std::string custom_args_module;  ///< deprecated, without effect

  static void describe(Describer<Experimental>& option);
  bool operator==(const Experimental&) const = default;
};

/// What to do when the loss or the gradient norm is NaN or infinite.
enum class OnNan { kStop, kSkip, kRollback };
constexpr auto words(OnNan) { return word_list("stop", "skip", "rollback"); }

/// [debug]
struct Debug {
  std::optional<std::int64_t> seed;
  bool deterministic = false;
  bool deterministic_warn_only = false;
  bool moe_force_load_balance = false;
  OnNan on_nan = OnNan::kStop;
  bool log_hashes = false;

  static void describe(Describer<Debug>& option);
  bool operator==(const Debug&) const = default;
};

}  // namespace titan::config
