#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/config/choice.h"
#include "titan/config/param_group.h"

namespace titan::config {

template <class Section>
class Describer;

/// [model]
struct Model {
  std::string name = "llama3";
  std::string flavor = "debugmodel";
  std::string hf_assets_path = "./tests/assets/tokenizer";
  std::optional<std::string> tokenizer_path;  ///< deprecated: moved to hf_assets_path on loading
  std::vector<std::string> converters;
  bool print_after_conversion = false;

  static void describe(Describer<Model>& option);
  bool operator==(const Model&) const = default;
};

enum class OptimizerName { kAdam, kAdamW };
constexpr auto words(OptimizerName) { return word_list("Adam", "AdamW"); }

enum class OptimizerImplementation { kForLoop, kForeach, kFused };
constexpr auto words(OptimizerImplementation) { return word_list("for-loop", "foreach", "fused"); }

/// [optimizer]
struct Optimizer {
  OptimizerName name = OptimizerName::kAdamW;
  double lr = 8e-4;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  OptimizerImplementation implementation = OptimizerImplementation::kFused;
  bool early_step_in_backward = false;
  std::vector<ParamGroup> param_groups;

  static void describe(Describer<Optimizer>& option);
  bool operator==(const Optimizer&) const = default;
};

enum class DecayType { kLinear, kSqrt, kCosine };
constexpr auto words(DecayType) { return word_list("linear", "sqrt", "cosine"); }

/// [lr_scheduler]
struct LRScheduler {
  std::int64_t warmup_steps = 200;
  std::optional<double> decay_ratio;
  DecayType decay_type = DecayType::kLinear;
  double min_lr_factor = 0.0;
  std::optional<std::int64_t> total_steps;

  static void describe(Describer<LRScheduler>& option);
  bool operator==(const LRScheduler&) const = default;
};

/// [training.dataloader] and [validation.dataloader]
struct DataLoader {
  std::int64_t num_workers = 0;
  bool persistent_workers = false;
  bool pin_memory = false;
  std::optional<std::int64_t> prefetch_factor;

  /// Batches to have ready before they are asked for.
  std::int64_t batches_ahead() const;

  static void describe(Describer<DataLoader>& option);
  bool operator==(const DataLoader&) const = default;
};

enum class DType { kBFloat16, kFloat32 };
constexpr auto words(DType) { return word_list("bfloat16", "float32"); }

enum class ReduceDType { kFloat32 };
constexpr auto words(ReduceDType) { return word_list("float32"); }

enum class Device { kAuto, kCpu, kCuda };
constexpr auto words(Device) { return word_list("auto", "cpu", "cuda"); }

/// [training]
struct Training {
  std::string dataset = "c4_test";
  std::optional<std::string> dataset_path;
  std::int64_t local_batch_size = 8;
  std::int64_t global_batch_size = -1;  ///< negative: local_batch_size * data-parallel degree
  std::int64_t seq_len = 2048;
  double max_norm = 1.0;
  std::int64_t steps = 10000;
  bool enable_cpu_offload = false;
  DType dtype = DType::kFloat32;
  DType mixed_precision_param = DType::kBFloat16;
  ReduceDType mixed_precision_reduce = ReduceDType::kFloat32;
  std::int64_t gc_freq = 50;
  bool gc_debug = false;
  Device device = Device::kAuto;
  DataLoader dataloader;

  /// Microbatches of a step on each of so many data-parallel ranks.
  std::int64_t accumulation_steps(std::int64_t data_ranks) const;

  static void describe(Describer<Training>& option);
  bool operator==(const Training&) const = default;
};

/// [validation]
struct Validation {
  bool enable = false;
  std::string dataset = "c4_validation";
  std::optional<std::string> dataset_path;
  std::int64_t local_batch_size = 8;
  std::int64_t seq_len = 2048;
  std::int64_t freq = 10;
  std::int64_t steps = -1;  ///< -1: until the data ends
  std::vector<std::string> sample_prompts;
  std::int64_t sample_tokens = 64;
  double sample_temperature = 0.8;
  DataLoader dataloader;

  static void describe(Describer<Validation>& option);
  bool operator==(const Validation&) const = default;
};

}  // namespace titan::config
