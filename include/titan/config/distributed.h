#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/config/choice.h"

namespace titan::mesh {
struct Degrees;
}

namespace titan::config {

template <class Section>
class Describer;

enum class ReshardAfterForward { kDefault, kAlways, kNever };
constexpr auto words(ReshardAfterForward) { return word_list("default", "always", "never"); }

enum class RotateMethod { kAllGather, kAllToAll };
constexpr auto words(RotateMethod) { return word_list("allgather", "alltoall"); }

enum class LoadBalancer { kHeadTail, kPtrr };
constexpr auto words(LoadBalancer) { return word_list("headtail", "ptrr"); }

enum class ExpertCommBackend { kStandard, kDeepEp };
constexpr auto words(ExpertCommBackend) { return word_list("standard", "deepep"); }

/// [parallelism]
struct Parallelism {
  std::int64_t data_parallel_replicate_degree = 1;
  std::int64_t data_parallel_shard_degree = -1;  ///< -1: the ranks the other degrees leave
  ReshardAfterForward fsdp_reshard_after_forward = ReshardAfterForward::kDefault;
  std::int64_t tensor_parallel_degree = 1;
  bool disable_loss_parallel = false;
  bool enable_async_tensor_parallel = false;
  std::int64_t pipeline_parallel_degree = 1;
  std::optional<std::vector<std::vector<std::string>>> module_fqns_per_model_part;
  std::int64_t pipeline_parallel_first_stage_less_layers = 1;
  std::int64_t pipeline_parallel_last_stage_less_layers = 1;
  std::optional<std::int64_t> pipeline_parallel_layers_per_stage;
  std::string pipeline_parallel_schedule = "1F1B";
  std::optional<std::string> pipeline_parallel_schedule_csv = "";
  std::int64_t pipeline_parallel_microbatch_size = 1;
  bool pipeline_parallel_expert_parallel_overlap = true;
  std::int64_t context_parallel_degree = 1;
  RotateMethod context_parallel_rotate_method = RotateMethod::kAllGather;
  std::optional<LoadBalancer> context_parallel_load_balancer = LoadBalancer::kHeadTail;
  std::int64_t expert_parallel_degree = 1;
  std::int64_t expert_tensor_parallel_degree = 1;
  ExpertCommBackend expert_parallel_comm_backend = ExpertCommBackend::kStandard;

  /// As set: -1 is not replaced.
  mesh::Degrees degrees() const;

  static void describe(Describer<Parallelism>& option);
  bool operator==(const Parallelism&) const = default;
};

enum class ExportDType { kFloat16, kBFloat16, kFloat32 };
constexpr auto words(ExportDType) { return word_list("float16", "bfloat16", "float32"); }

enum class AsyncMode { kDisabled, kAsync, kAsyncWithPinnedMem };
constexpr auto words(AsyncMode) { return word_list("disabled", "async", "async_with_pinned_mem"); }

/// [checkpoint]
struct Checkpoint {
  bool enable = false;
  bool enable_ft_dataloader_checkpoints = true;
  std::string folder = "checkpoint";
  std::int64_t interval = 500;
  std::optional<std::string> initial_load_path;
  bool initial_load_model_only = true;
  bool initial_load_in_hf = false;
  bool initial_load_in_hf_quantized = false;
  bool last_save_model_only = true;
  bool last_save_in_hf = false;
  ExportDType export_dtype = ExportDType::kFloat32;
  AsyncMode async_mode = AsyncMode::kDisabled;
  std::int64_t keep_latest_k = 10;  ///< 0: keep all
  std::int64_t load_step = -1;      ///< -1: the latest
  std::vector<std::string> exclude_from_loading;
  bool enable_first_step_checkpoint = false;
  bool create_seed_checkpoint = false;
  bool load_only = false;

  static void describe(Describer<Checkpoint>& option);
  bool operator==(const Checkpoint&) const = default;
};

enum class CommMode { kDefault, kFakeBackend, kLocalTensor };
constexpr auto words(CommMode) { return word_list("default", "fake_backend", "local_tensor"); }

/// [comm]
struct Comm {
  std::int64_t init_timeout_seconds = 300;
  std::int64_t train_timeout_seconds = 100;
  std::int64_t trace_buf_size = 20000;  ///< entries per rank; 0: no flight recorder
  std::string save_traces_folder = "comm_traces";
  std::string save_traces_file_prefix = "rank_";
  CommMode mode = CommMode::kDefault;

  static void describe(Describer<Comm>& option);
  bool operator==(const Comm&) const = default;
};

enum class FtProcessGroup { kGloo, kNccl };
constexpr auto words(FtProcessGroup) { return word_list("gloo", "nccl"); }

enum class SemiSyncMethod { kLocalSgd, kDiloco };
constexpr auto words(SemiSyncMethod) { return word_list("local_sgd", "diloco"); }

/// [fault_tolerance], with the fields of the reference's ft extension.
struct FaultTolerance {
  bool enable = false;
  FtProcessGroup process_group = FtProcessGroup::kGloo;
  std::int64_t process_group_timeout_ms = 10000;
  std::int64_t replica_id = 0;
  std::int64_t group_size = 0;
  std::int64_t min_replica_size = 1;
  std::optional<SemiSyncMethod> semi_sync_method;
  std::int64_t sync_steps = 5;
  bool should_quantize = false;
  std::int64_t fragment_sync_delay = 0;
  double fragment_update_alpha = 0.0;
  std::vector<std::vector<std::string>> module_fqns_per_model_fragment;
  std::int64_t num_fragments = 1;

  static void describe(Describer<FaultTolerance>& option);
  bool operator==(const FaultTolerance&) const = default;
};

}  // namespace titan::config
