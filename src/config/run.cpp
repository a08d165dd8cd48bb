#include "titan/config/run.h"

#include "config/describer.h"

namespace titan::config {

void Job::describe(Describer<Job>& option) {
  option("config_file", &Job::config_file,
         "TOML file to load. May be repeated: a later file outranks an earlier one.")
      .path()
      .only_on_command_line();
  option("dump_folder", &Job::dump_folder, "Folder of everything the run writes.").path();
  option("description", &Job::description, "Free text for the log's first line.");
  option("print_config", &Job::print_config, "Log the whole config as JSON at the start.");
  option("save_config_file", &Job::save_config_file,
         "File under dump_folder to save the config to, as JSON.")
      .path();
  option("custom_config_module", &Job::custom_config_module,
         "Python module with more options, in the Python original.");
}

void Profiling::describe(Describer<Profiling>& option) {
  option("enable_profiling", &Profiling::enable_profiling, "Write profiler traces.");
  option("save_traces_folder", &Profiling::save_traces_folder,
         "Folder of the traces, under dump_folder.")
      .path();
  option("profile_freq", &Profiling::profile_freq,
         "Length of a profiling cycle in steps, for traces and memory snapshots.")
      .at_least(1);
  option("profiler_active", &Profiling::profiler_active, "Recorded steps in a cycle.").at_least(1);
  option("profiler_warmup", &Profiling::profiler_warmup, "Warm-up steps in a cycle.").at_least(0);
  option("enable_memory_snapshot", &Profiling::enable_memory_snapshot,
         "Write snapshots of the CUDA allocator.");
  option("enable_pipeline_timeline", &Profiling::enable_pipeline_timeline,
         "Every profile_freq-th step, measure when each rank of a pipeline computes what, and draw "
         "it.");
  option("save_memory_snapshot_folder", &Profiling::save_memory_snapshot_folder,
         "Folder of the memory snapshots, under dump_folder.")
      .path();
}

void Metrics::describe(Describer<Metrics>& option) {
  option("log_freq", &Metrics::log_freq, "Log every n-th step, and always step 1.").at_least(1);
  option("enable_tensorboard", &Metrics::enable_tensorboard, "Write TensorBoard event files.");
  option("disable_color_printing", &Metrics::disable_color_printing, "Log without colors.");
  option("save_tb_folder", &Metrics::save_tb_folder,
         "Folder of the TensorBoard files, under dump_folder.")
      .path();
  option("save_for_all_ranks", &Metrics::save_for_all_ranks,
         "Write TensorBoard and Weights & Biases metrics from every rank, not from one.");
  option("enable_wandb", &Metrics::enable_wandb, "Report to Weights & Biases.");
}

void MemoryEstimation::describe(Describer<MemoryEstimation>& option) {
  option("enable", &MemoryEstimation::enable, "Forecast the memory of a run instead of training.");
  option("disable_fake_mode", &MemoryEstimation::disable_fake_mode,
         "Refused: in the original, forecast with real instead of fake tensors.");
}

void Experimental::describe(Describer<Experimental>& option) {
  option("custom_import", &Experimental::custom_import,
         "Python module to import at the start, in the Python original.");
  option("custom_args_module", &Experimental::custom_args_module,
         "Deprecated: has no effect, as in the Python original.");
}

void Debug::describe(Describer<Debug>& option) {
  option("seed", &Debug::seed, "Seed of all random numbers; None keeps PyTorch's default.");
  option("deterministic", &Debug::deterministic,
         "Use deterministic algorithms only; an operator without one is an error.");
  option("deterministic_warn_only", &Debug::deterministic_warn_only,
         "Warn about operators without a deterministic algorithm instead of failing.");
  option("moe_force_load_balance", &Debug::moe_force_load_balance,
         "Assign tokens to experts round-robin.");
  option("on_nan", &Debug::on_nan,
         "When the loss or the gradient norm is not finite: stop the run, skip the step, or roll "
         "back to the last checkpoint.");
  option("log_hashes", &Debug::log_hashes,
         "Write SHA-256 of every parameter and buffer at the start and the end, and of the first "
         "batch, to hashes.jsonl under dump_folder.");
}

}  // namespace titan::config
