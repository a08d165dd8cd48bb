#include "titan/config/validate.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "config/graph_rules.h"
#include "config/layout.h"
#include "config/nearest.h"
#include "config/rules.h"
#include "titan/mesh/degrees.h"

namespace titan::config {
namespace {

bool contains(const std::vector<std::string>& list, std::string_view word) {
  return std::ranges::find(list, word) != list.end();
}

bool compiles_model(const JobConfig& config) {
  return config.compile.enable && contains(config.compile.components, "model");
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void global_batch_divides(const Rules& rules) {
  const Training& training = rules.config.training;
  const auto degrees = mesh::resolved(rules.config.parallelism.degrees(), rules.world_size);
  if (training.global_batch_size < 0 || !degrees) {
    return;
  }
  const std::int64_t ranks = degrees->dp_replicate * degrees->dp_shard;
  const bool divides = training.local_batch_size <= training.global_batch_size / ranks &&
                       training.global_batch_size % (training.local_batch_size * ranks) == 0;
  if (!divides) {
    rules.broken({"training.global_batch_size", "training.local_batch_size"},
                 "training.global_batch_size (", training.global_batch_size,
                 ") must be a multiple of local_batch_size (", training.local_batch_size,
                 ") * data-parallel ranks (", ranks, ")");
    return;
  }
  // A step holds all its microbatches.
  constexpr std::int64_t kMostMicrobatches = 1'000'000;
  const std::int64_t microbatches =
      training.global_batch_size / (training.local_batch_size * ranks);
  if (microbatches > kMostMicrobatches) {
    rules.broken({"training.global_batch_size"}, "training.global_batch_size (",
                 training.global_batch_size, ") is ", microbatches, " microbatches of ",
                 training.local_batch_size, " on each data-parallel rank; at most are ",
                 kMostMicrobatches);
  }
}

/// Kernels index the tokens of a microbatch with 32 bits; more is a slip of the finger.
void microbatch_is_addressable(const Rules& rules) {
  constexpr std::int64_t kMostTokens = std::int64_t{1} << 31;
  const Training& training = rules.config.training;
  if (training.local_batch_size > kMostTokens / training.seq_len) {
    rules.broken({"training.local_batch_size", "training.seq_len"}, "training.local_batch_size (",
                 training.local_batch_size, ") * seq_len (", training.seq_len,
                 ") is more than 2^31 tokens");
  }
}

void validation_batch_is_addressable(const Rules& rules) {
  constexpr std::int64_t kMostTokens = std::int64_t{1} << 31;
  const Validation& validation = rules.config.validation;
  if (validation.enable && validation.local_batch_size > kMostTokens / validation.seq_len) {
    rules.broken({"validation.local_batch_size", "validation.seq_len"},
                 "validation.local_batch_size (", validation.local_batch_size, ") * seq_len (",
                 validation.seq_len, ") is more than 2^31 tokens");
  }
}

void microbatch_divides(const Rules& rules) {
  const Parallelism& parallelism = rules.config.parallelism;
  const std::int64_t local = rules.config.training.local_batch_size;
  const std::int64_t micro = parallelism.pipeline_parallel_microbatch_size;
  if (parallelism.pipeline_parallel_degree > 1 && local % micro != 0) {
    rules.broken({"parallelism.pipeline_parallel_microbatch_size", "training.local_batch_size"},
                 "training.local_batch_size (", local,
                 ") must be a multiple of pipeline_parallel_microbatch_size (", micro, ")");
  }
}

void pipeline_schedule_is_known(const Rules& rules) {
  constexpr std::array<std::string_view, 9> kSchedules = {"1F1B",
                                                          "Interleaved1F1B",
                                                          "GPipe",
                                                          "LoopedBFS",
                                                          "InterleavedZeroBubble",
                                                          "PipelineScheduleSingle",
                                                          "PipelineScheduleMulti",
                                                          "ZBVZeroBubble",
                                                          "DualPipeV"};
  const Parallelism& parallelism = rules.config.parallelism;
  const std::string& schedule = parallelism.pipeline_parallel_schedule;
  const bool known = std::ranges::any_of(kSchedules, [&](std::string_view name) {
    return lower(std::string(name)) == lower(schedule);
  });
  if (parallelism.pipeline_parallel_degree > 1 && !known) {
    rules.broken({"parallelism.pipeline_parallel_schedule"}, "unknown pipeline schedule ", schedule,
                 did_you_mean(schedule, kSchedules));
  }
}

void deepep_has_experts(const Rules& rules) {
  const Parallelism& parallelism = rules.config.parallelism;
  if (parallelism.expert_parallel_comm_backend != ExpertCommBackend::kDeepEp) {
    return;
  }
  if (parallelism.expert_parallel_degree == 1 || parallelism.expert_tensor_parallel_degree > 1) {
    rules.broken({"parallelism.expert_parallel_comm_backend"},
                 "expert_parallel_comm_backend \"deepep\" needs expert_parallel_degree > 1 and "
                 "expert_tensor_parallel_degree = 1");
  }
}

void memory_budget_is_compiled(const Rules& rules) {
  if (rules.config.activation_checkpoint.mode == ActivationCheckpointMode::kMemoryBudget &&
      !compiles_model(rules.config)) {
    rules.broken({"activation_checkpoint.mode"},
                 "activation_checkpoint.mode \"memory_budget\" needs compile.enable with "
                 "\"model\" among compile.components");
  }
}

void early_step_is_alone(const Rules& rules) {
  const JobConfig& config = rules.config;
  if (config.optimizer.early_step_in_backward &&
      (config.parallelism.expert_parallel_degree > 1 ||
       config.parallelism.pipeline_parallel_degree > 1 || config.fault_tolerance.enable)) {
    rules.broken({"optimizer.early_step_in_backward"},
                 "optimizer.early_step_in_backward does not combine with expert parallelism, "
                 "pipeline parallelism or fault tolerance");
  }
}

void early_step_is_not_skipped(const Rules& rules) {
  if (rules.config.optimizer.early_step_in_backward && rules.config.debug.on_nan == OnNan::kSkip) {
    rules.broken({"optimizer.early_step_in_backward", "debug.on_nan"},
                 "debug.on_nan \"skip\" cannot leave out a step that was made in backward "
                 "(optimizer.early_step_in_backward): \"stop\" and \"rollback\" can");
  }
}

void converters_agree(const Rules& rules) {
  const std::vector<std::string>& converters = rules.config.model.converters;
  const auto count_ending = [&](const char* end) {  // a user's own are of no kind
    return std::ranges::count_if(converters, [end](const std::string& name) {
      return name.starts_with("quantize.") && name.ends_with(end);
    });
  };
  if (count_ending(".mx") != 0 && count_ending(".float8") != 0) {
    rules.broken({"model.converters"}, "model.converters must all be float8 or all be mx");
  }
  std::set<std::string> seen;
  for (const std::string& name : converters) {
    if (seen.insert(name).second) continue;
    rules.broken({"model.converters"}, "model.converters has \"", name,
                 "\" twice: a model is converted once");
  }
}

void float8_options_agree(const Rules& rules) {
  const Float8Linear& float8 = rules.config.quantize.linear.float8;
  if (!contains(rules.config.model.converters, "quantize.linear.float8")) {
    return;
  }
  if (float8.recipe_name && float8.enable_fsdp_float8_all_gather) {
    rules.broken({"quantize.linear.float8.recipe_name"},
                 "quantize.linear.float8.recipe_name does not combine with "
                 "enable_fsdp_float8_all_gather");
  }
  if (float8.emulate && compiles_model(rules.config)) {
    rules.broken({"quantize.linear.float8.emulate"},
                 "quantize.linear.float8.emulate does not combine with a compiled model");
  }
}

void profiling_cycle_is_long_enough(const Rules& rules) {
  const Profiling& profiling = rules.config.profiling;
  const bool enough =
      profiling.profile_freq > profiling.profiler_warmup &&
      profiling.profile_freq - profiling.profiler_warmup >= profiling.profiler_active;
  if (profiling.enable_profiling && !enough) {
    rules.broken(
        {"profiling.profile_freq", "profiling.profiler_warmup", "profiling.profiler_active"},
        "profiling.profile_freq (", profiling.profile_freq,
        ") must be greater than or equal to profiler_warmup (", profiling.profiler_warmup,
        ") + profiler_active (", profiling.profiler_active, ")");
  }
}

/// C4's own files are many: they have no place of their own in this program.
void dataset_has_a_place(const Rules& rules, const std::string& section, const std::string& dataset,
                         bool has_path) {
  constexpr std::array<std::string_view, 3> kDatasets = {"c4", "c4_test", "c4_validation"};
  const std::string option = section + ".dataset";
  const std::string name = lower(dataset);
  if (std::ranges::find(kDatasets, name) == kDatasets.end()) {
    rules.broken({option}, "Dataset ", name,
                 " is not supported. Supported datasets are: ['c4', 'c4_test', 'c4_validation']",
                 did_you_mean(name, kDatasets), "; for text of your own set ", section,
                 ".dataset_path");
  } else if (name != "c4_test" && !has_path) {
    rules.broken({option}, "the dataset ", name,
                 " is read from a local folder of its .json.gz files: name it with ", section,
                 ".dataset_path; scripts/download_c4.py fetches as many of them as you like");
  }
}

void datasets_have_places(const Rules& rules) {
  const JobConfig& config = rules.config;
  if (config.data.mixture.empty()) {
    dataset_has_a_place(rules, "training", config.training.dataset,
                        config.training.dataset_path.has_value());
  }
  if (config.validation.enable) {
    dataset_has_a_place(rules, "validation", config.validation.dataset,
                        config.validation.dataset_path.has_value());
  }
}

/// Positions are prepared for the training length.
void validation_fits_the_model(const Rules& rules) {
  const JobConfig& config = rules.config;
  if (config.validation.enable && config.validation.seq_len > config.training.seq_len) {
    rules.broken({"validation.seq_len", "training.seq_len"}, "validation.seq_len (",
                 config.validation.seq_len, ") must not be larger than training.seq_len (",
                 config.training.seq_len, ")");
  }
  const mesh::Degrees degrees = config.parallelism.degrees();
  const bool is_cut = degrees.tp > 1 || degrees.cp > 1;
  if (config.validation.enable && is_cut &&
      !mesh::sequences_divide(degrees, config.validation.seq_len)) {
    rules.broken({"validation.seq_len", "parallelism.tensor_parallel_degree",
                  "parallelism.context_parallel_degree"},
                 "validation.seq_len (", config.validation.seq_len,
                 ") must be a multiple of 2 * tensor_parallel_degree (", degrees.tp,
                 ") * context_parallel_degree (", degrees.cp, ")");
  }
}

/// What is offloaded are shards.
void offload_has_shards(const Rules& rules) {
  const auto degrees = mesh::resolved(rules.config.parallelism.degrees(), rules.world_size);
  if (!rules.config.training.enable_cpu_offload || !degrees) return;
  if (degrees->dp_shard == 1 && degrees->cp == 1) {
    rules.broken(
        {"training.enable_cpu_offload"},
        "training.enable_cpu_offload: only sharded parameters can be kept in CPU memory; it needs "
        "data_parallel_shard_degree > 1");
  }
}

void prompts_have_no_text(const Rules& rules) {
  if (rules.config.data.prompt_field && !rules.origins.is_default("data.text_field")) {
    rules.broken({"data.text_field"},
                 "data.text_field has no meaning with data.prompt_field: rows are prompts and "
                 "responses (data.response_field)");
  }
}

void mixture_is_the_only_source(const Rules& rules) {
  const JobConfig& config = rules.config;
  if (config.data.mixture.empty()) {
    return;
  }
  if (config.training.dataset_path) {
    rules.broken({"training.dataset_path", "data.mixture"},
                 "training.dataset_path and data.mixture both say where the training data is");
  }
  const bool weighs = std::ranges::any_of(config.data.mixture,
                                          [](const MixturePart& part) { return part.weight > 0; });
  if (!weighs) {
    rules.broken({"data.mixture"}, "data.mixture needs a weight above 0");
  }
}

void checkpoints_can_be_kept(const Rules& rules) {
  const Checkpoint& checkpoint = rules.config.checkpoint;
  if (checkpoint.enable && checkpoint.keep_latest_k == 1) {
    rules.broken({"checkpoint.keep_latest_k"},
                 "checkpoint.keep_latest_k must be 0 (keep all) or at least 2: one checkpoint may "
                 "be half written while the last is purged");
  }
}

void checkpoint_formats_hold_their_content(const Rules& rules) {
  const Checkpoint& checkpoint = rules.config.checkpoint;
  if (!checkpoint.enable) {
    return;
  }
  if (checkpoint.last_save_in_hf && !checkpoint.last_save_model_only) {
    rules.broken({"checkpoint.last_save_in_hf", "checkpoint.last_save_model_only"},
                 "checkpoint.last_save_in_hf needs last_save_model_only: the Hugging Face format "
                 "holds a model, no optimizer");
  }
  if (checkpoint.initial_load_in_hf && !checkpoint.initial_load_model_only) {
    rules.broken({"checkpoint.initial_load_in_hf", "checkpoint.initial_load_model_only"},
                 "checkpoint.initial_load_in_hf needs initial_load_model_only: the Hugging Face "
                 "format holds a model, no optimizer");
  }
  if (checkpoint.initial_load_in_hf_quantized && !checkpoint.initial_load_in_hf) {
    rules.broken({"checkpoint.initial_load_in_hf_quantized"},
                 "checkpoint.initial_load_in_hf_quantized needs initial_load_in_hf");
  }
}

void rollback_has_checkpoints(const Rules& rules) {
  const Checkpoint& checkpoint = rules.config.checkpoint;
  if (rules.config.debug.on_nan == OnNan::kRollback &&
      (!checkpoint.enable || checkpoint.load_only)) {
    rules.broken({"debug.on_nan", "checkpoint.enable", "checkpoint.load_only"},
                 "debug.on_nan \"rollback\" goes back to checkpoints: set checkpoint.enable = true "
                 "and checkpoint.load_only = false");
  }
}

void seed_checkpoint_on_one_rank(const Rules& rules) {
  const Checkpoint& checkpoint = rules.config.checkpoint;
  if (checkpoint.create_seed_checkpoint && (!checkpoint.enable || rules.world_size != 1)) {
    rules.broken({"checkpoint.create_seed_checkpoint"},
                 "checkpoint.create_seed_checkpoint needs checkpoint.enable and one rank, to "
                 "disable sharding; the world size is ",
                 rules.world_size);
  }
}

}  // namespace

Problems cross_field_problems(const JobConfig& config, const Origins& origins,
                              std::int64_t world_size, const ModelLayouts& model_layouts) {
  Problems problems;
  const Rules rules{config, origins, world_size, problems};
  check_layout(rules, model_layouts);
  global_batch_divides(rules);
  microbatch_is_addressable(rules);
  validation_batch_is_addressable(rules);
  microbatch_divides(rules);
  pipeline_schedule_is_known(rules);
  deepep_has_experts(rules);
  memory_budget_is_compiled(rules);
  early_step_is_alone(rules);
  early_step_is_not_skipped(rules);
  converters_agree(rules);
  float8_options_agree(rules);
  profiling_cycle_is_long_enough(rules);
  datasets_have_places(rules);
  validation_fits_the_model(rules);
  offload_has_shards(rules);
  prompts_have_no_text(rules);
  mixture_is_the_only_source(rules);
  checkpoints_can_be_kept(rules);
  checkpoint_formats_hold_their_content(rules);
  rollback_has_checkpoints(rules);
  seed_checkpoint_on_one_rank(rules);
  check_cuda_graphs(rules);
  return problems;
}

}  // namespace titan::config
