#include "titan/config/distributed.h"

#include "config/describer.h"
#include "titan/mesh/degrees.h"

namespace titan::config {
namespace {

constexpr double kLongestTimeout = 30 * 86400;  // seconds

}  // namespace

mesh::Degrees Parallelism::degrees() const {
  return {.dp_replicate = data_parallel_replicate_degree,
          .dp_shard = data_parallel_shard_degree,
          .cp = context_parallel_degree,
          .tp = tensor_parallel_degree,
          .pp = pipeline_parallel_degree,
          .ep = expert_parallel_degree,
          // Without expert parallelism it has no effect, as in the original.
          .etp = expert_parallel_degree > 1 ? expert_tensor_parallel_degree : 1};
}

void Parallelism::describe(Describer<Parallelism>& option) {
  option("data_parallel_replicate_degree", &Parallelism::data_parallel_replicate_degree,
         "Copies of the sharded model (DDP, or HSDP with shards).")
      .at_least(1);
  option("data_parallel_shard_degree", &Parallelism::data_parallel_shard_degree,
         "Ranks that share one copy (FSDP); -1 takes the ranks the other degrees leave.")
      .at_least(1)
      .or_exactly(-1);
  option("fsdp_reshard_after_forward", &Parallelism::fsdp_reshard_after_forward,
         "Free gathered parameters after forward; default does so without pipeline parallelism.");
  option("tensor_parallel_degree", &Parallelism::tensor_parallel_degree,
         "Ranks that share each matrix.")
      .at_least(1);
  option("disable_loss_parallel", &Parallelism::disable_loss_parallel,
         "Compute the loss on full instead of vocabulary-sharded logits.");
  option("enable_async_tensor_parallel", &Parallelism::enable_async_tensor_parallel,
         "Overlap the communication of tensor parallelism with matrix products.");
  option("pipeline_parallel_degree", &Parallelism::pipeline_parallel_degree,
         "Ranks that share the layers.")
      .at_least(1);
  option("module_fqns_per_model_part", &Parallelism::module_fqns_per_model_part,
         "Modules of each pipeline stage, by name; None splits evenly.");
  option("pipeline_parallel_first_stage_less_layers",
         &Parallelism::pipeline_parallel_first_stage_less_layers,
         "What the modules before the layers weigh, in layers.")
      .at_least(0);
  option("pipeline_parallel_last_stage_less_layers",
         &Parallelism::pipeline_parallel_last_stage_less_layers,
         "What the modules behind the layers weigh, in layers.")
      .at_least(0);
  option("pipeline_parallel_layers_per_stage", &Parallelism::pipeline_parallel_layers_per_stage,
         "Layers per stage; None makes one stage per rank, or two where the schedule needs them.")
      .at_least(1);
  option("pipeline_parallel_schedule", &Parallelism::pipeline_parallel_schedule,
         "Pipeline schedule, in any case: 1F1B, Interleaved1F1B, GPipe, LoopedBFS, "
         "InterleavedZeroBubble, ZBVZeroBubble, DualPipeV, PipelineScheduleSingle, "
         "PipelineScheduleMulti.");
  option("pipeline_parallel_schedule_csv", &Parallelism::pipeline_parallel_schedule_csv,
         "CSV file with a schedule to run instead.")
      .path();
  option("pipeline_parallel_microbatch_size", &Parallelism::pipeline_parallel_microbatch_size,
         "Sequences per pipeline microbatch; divides training.local_batch_size.")
      .at_least(1);
  option("pipeline_parallel_expert_parallel_overlap",
         &Parallelism::pipeline_parallel_expert_parallel_overlap,
         "Overlap expert communication with computation under DualPipeV.");
  option("context_parallel_degree", &Parallelism::context_parallel_degree,
         "Ranks that share each sequence.")
      .at_least(1);
  option("context_parallel_rotate_method", &Parallelism::context_parallel_rotate_method,
         "How keys and values travel between the ranks.");
  option("context_parallel_load_balancer", &Parallelism::context_parallel_load_balancer,
         "How positions are dealt out so that causal masks cost every rank the same.");
  option("expert_parallel_degree", &Parallelism::expert_parallel_degree,
         "Ranks that share the experts. Uses the ranks of the other degrees.")
      .at_least(1);
  option("expert_tensor_parallel_degree", &Parallelism::expert_tensor_parallel_degree,
         "Ranks that share each expert: 1, or tensor_parallel_degree. Inert without experts' "
         "parallelism.")
      .at_least(1);
  option("expert_parallel_comm_backend", &Parallelism::expert_parallel_comm_backend,
         "How tokens travel to the experts.");
}

void Checkpoint::describe(Describer<Checkpoint>& option) {
  option("enable", &Checkpoint::enable, "Save and load checkpoints.");
  option("enable_ft_dataloader_checkpoints", &Checkpoint::enable_ft_dataloader_checkpoints,
         "Save the data position of every replica under fault tolerance.");
  option("folder", &Checkpoint::folder, "Folder of the checkpoints, under dump_folder.").path();
  option("interval", &Checkpoint::interval, "Save every n-th step.").at_least(1);
  option("initial_load_path", &Checkpoint::initial_load_path,
         "Checkpoint to start from when the folder holds none.")
      .path();
  option("initial_load_model_only", &Checkpoint::initial_load_model_only,
         "Take only the model from the initial checkpoint.");
  option("initial_load_in_hf", &Checkpoint::initial_load_in_hf,
         "The initial checkpoint is in Hugging Face format.");
  option("initial_load_in_hf_quantized", &Checkpoint::initial_load_in_hf_quantized,
         "The initial Hugging Face checkpoint is quantized.");
  option("last_save_model_only", &Checkpoint::last_save_model_only,
         "Save only the model at the end.");
  option("last_save_in_hf", &Checkpoint::last_save_in_hf,
         "Save the model in Hugging Face format at the end.");
  option("export_dtype", &Checkpoint::export_dtype, "Type of a model-only save at the end.");
  option("async_mode", &Checkpoint::async_mode, "Save while training goes on.").in_any_case();
  option("keep_latest_k", &Checkpoint::keep_latest_k,
         "Checkpoints to keep; 0 keeps all. 1 is refused: the one would go before its successor "
         "is whole.")
      .at_least(0);
  option("load_step", &Checkpoint::load_step, "Step to load; -1 is the latest.")
      .at_least(0)
      .or_exactly(-1);
  option("exclude_from_loading", &Checkpoint::exclude_from_loading,
         "Parts of a checkpoint not to load, such as optimizer or dataloader.")
      .each_of({"model", "optimizer", "lr_scheduler", "dataloader", "train_state", "validation",
                "job_config"});
  option("enable_first_step_checkpoint", &Checkpoint::enable_first_step_checkpoint,
         "Save after step 1 as well.");
  option("create_seed_checkpoint", &Checkpoint::create_seed_checkpoint,
         "Save the initial weights on one rank and stop.");
  option("load_only", &Checkpoint::load_only, "Load, but never save.");
}

void Comm::describe(Describer<Comm>& option) {
  option("init_timeout_seconds", &Comm::init_timeout_seconds,
         "Time-out of collectives until the first step is done.")
      .between(1, kLongestTimeout);
  option("train_timeout_seconds", &Comm::train_timeout_seconds,
         "Time-out of collectives after the first step.")
      .between(1, kLongestTimeout);
  option("trace_buf_size", &Comm::trace_buf_size,
         "Collectives the flight recorder remembers; 0 turns it off.")
      .at_least(0);
  option("save_traces_folder", &Comm::save_traces_folder,
         "Folder of the flight recorder's files, under dump_folder.")
      .path();
  option("save_traces_file_prefix", &Comm::save_traces_file_prefix,
         "Start of the names of those files.");
  option("mode", &Comm::mode,
         "Real communication, none (one process plays rank 0), or all ranks in one process.");
}

void FaultTolerance::describe(Describer<FaultTolerance>& option) {
  option("enable", &FaultTolerance::enable, "Train in replica groups that may come and go.");
  option("process_group", &FaultTolerance::process_group, "Back end between replica groups.");
  option("process_group_timeout_ms", &FaultTolerance::process_group_timeout_ms,
         "Time-out of collectives between replica groups, in milliseconds.")
      .at_least(1);
  option("replica_id", &FaultTolerance::replica_id, "Number of this replica group.").at_least(0);
  option("group_size", &FaultTolerance::group_size, "Number of replica groups.").at_least(0);
  option("min_replica_size", &FaultTolerance::min_replica_size,
         "Replica groups without which no step is made.")
      .at_least(1);
  option("semi_sync_method", &FaultTolerance::semi_sync_method,
         "Synchronize the groups only every sync_steps steps, by this method.")
      .in_any_case();
  option("sync_steps", &FaultTolerance::sync_steps, "Steps between synchronizations.").at_least(1);
  option("should_quantize", &FaultTolerance::should_quantize, "Quantize what the groups exchange.");
  option("fragment_sync_delay", &FaultTolerance::fragment_sync_delay,
         "Steps between the start and the end of a fragment's synchronization.")
      .at_least(0);
  option("fragment_update_alpha", &FaultTolerance::fragment_update_alpha,
         "Share of the local weights kept at a synchronization.")
      .between(0, 1);
  option("module_fqns_per_model_fragment", &FaultTolerance::module_fqns_per_model_fragment,
         "Modules of each fragment, by name.");
  option("num_fragments", &FaultTolerance::num_fragments,
         "Fragments to split the model into when their modules are not named.")
      .at_least(1);
}

}  // namespace titan::config
