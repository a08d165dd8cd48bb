#include "app/engine_commands.h"

#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/util/Exception.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "app/estimate.h"
#include "app/hardware.h"
#include "app/job_rank.h"
#include "app/rank_threads.h"
#include "app/train_job.h"
#include "titan/app/version.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/config/print.h"
#include "titan/forecast/forecast.h"
#include "titan/protocols/metrics.h"
#include "titan/tools/accelerator.h"
#include "titan/tools/cores.h"
#include "titan/tools/environment_variable.h"
#include "titan/tools/logging.h"
#include "titan/tools/process.h"
#include "titan/tools/read_launch_environment.h"
#include "titan/tools/signals.h"
#include "titan/tools/startup_times.h"
#include "titan/trainer/trainer.h"

namespace titan::app {

namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

double gib(std::uint64_t bytes) { return static_cast<double>(bytes) / kGiB; }

double percent(std::uint64_t bytes, std::uint64_t total) {
  return total == 0 ? 0 : 100.0 * static_cast<double>(bytes) / static_cast<double>(total);
}

class DeviceMemoryMonitor : public protocols::MemoryMonitor {
 public:
  DeviceMemoryMonitor(tools::Accelerator& accelerator, int index)
      : accelerator_(accelerator), index_(index) {}
  protocols::MemoryPeak peak() override {
    const tools::DeviceMemory memory = accelerator_.peak_memory(index_);
    return {gib(memory.peak_active_bytes),
            percent(memory.peak_active_bytes, memory.total_bytes),
            gib(memory.peak_reserved_bytes),
            percent(memory.peak_reserved_bytes, memory.total_bytes),
            memory.alloc_retries,
            memory.ooms};
  }
  void reset_peak() override { accelerator_.reset_peak_memory(index_); }

 private:
  tools::Accelerator& accelerator_;
  int index_;
};

/// The kernel's peak of resident memory cannot be reset by us: it is that of the whole run.
class ProcessMemoryMonitor : public protocols::MemoryMonitor {
 public:
  protocols::MemoryPeak peak() override {
    const std::uint64_t resident = tools::peak_resident_bytes();
    const double pct = percent(resident, tools::total_memory_bytes());
    return {gib(resident), pct, gib(resident), pct, 0, 0};
  }
  void reset_peak() override {}
};

/// Watches a GPU's allocator, or without a GPU (`accelerator` null) the resident memory of the
/// process.
std::unique_ptr<protocols::MemoryMonitor> make_memory_monitor(tools::Accelerator* accelerator,
                                                              int device_index) {
  if (accelerator == nullptr) return std::make_unique<ProcessMemoryMonitor>();
  return std::make_unique<DeviceMemoryMonitor>(*accelerator, device_index);
}

void report_config(const config::CommandLine& command) {
  const config::Job& job = command.config.job;
  for (const std::string& warning : command.warnings) tools::log_warning(warning);
  if (job.print_config) {
    tools::log_info("Running with configs: ", config::config_json(command.config));
  }
  if (job.save_config_file) {
    const auto path = std::filesystem::path(job.dump_folder) / *job.save_config_file;
    base::FileSystem& files = base::posix_file_system();
    files.create_directories(path.parent_path());
    base::write_file_atomically(files, path, config::config_json(command.config));
    tools::log_info("Saved job configs to ", path.string());
  }
}

/// Against a second job in the same folder, which would write into the same metrics, traces and
/// checkpoints. Within the folder, so that it is the same by whatever path a job names it.
std::unique_ptr<base::FileLock> lock_dump_folder(const std::string& dump_folder) {
  /// A job that is started anew may find its last processes ending.
  constexpr double kPatienceSeconds = 10;
  base::FileSystem& files = base::posix_file_system();
  files.create_directories(dump_folder);
  return files.lock_file((std::filesystem::path(dump_folder) / ".run.lock").string(),
                         kPatienceSeconds);
}

/// A rank's work, from building its trainer to the last step.
class Training {
 public:
  Training(const JobSetup& setup, const Hardware& hardware,
           const tools::StartupTimes& startup_times, profiling::OperatorProfile* profile)
      : config_(setup.config),
        world_size_(setup.world_size),
        hardware_(hardware),
        startup_times_(startup_times),
        profile_(profile),
        memory_(make_memory_monitor(hardware.accelerator, hardware.device.index())) {
    if (!config_.compile.cuda_graphs || hardware.accelerator == nullptr) return;
    graphs_ = hardware.accelerator->make_graph_capture(hardware.device.index());
  }

  void run(JobRank& rank, const tools::StopSignals& stop_signals) const try {
    tools::StartupTimes startup_times = startup_times_;  // each rank's own
    startup_times.finish("groups");
    trainer::Trainer trainer(config_,
                             {rank.context, hardware_.facts, *memory_, startup_times,
                              rank.context.leads_process ? profile_ : nullptr, graphs_.get()});
    if (config_.checkpoint.create_seed_checkpoint) {
      trainer.create_seed_checkpoint();
    } else {
      trainer.train(stop_signals);
    }
    // Who serves the store stays until the others need it no more.
    rank.context.groups->world().barrier();
    rank.context.groups->shut_down();
    if (rank.watch) rank.watch->leave();
  } catch (const c10::Error& error) {
    std::string message = error.what_without_backtrace();
    if (is_out_of_memory(error)) message += "\n" + forecast_beside_real_figures();
    if (rank.watch) rank.watch->leave(message);
    throw RunError(message);
  } catch (const std::exception& error) {
    if (rank.watch) rank.watch->leave(error.what());
    throw;
  }

 private:
  static bool is_out_of_memory(const c10::Error& error) {
    return dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
           std::string_view(error.what()).find("can't allocate memory") != std::string_view::npos;
  }

  std::string forecast_beside_real_figures() const try {
    const auto bytes = static_cast<std::int64_t>(memory_->peak().max_active_gib * kGiB);
    config::JobConfig config = config_;
    if (hardware_.accelerator == nullptr) config.training.device = config::Device::kCpu;
    return forecast::forecast_text(
        forecast::make_forecast(config, world_size_, /*alternatives=*/true), bytes);
  } catch (const std::exception& error) {
    return concat("(no forecast: ", error.what(), ")");
  }

  const config::JobConfig& config_;
  std::int64_t world_size_;
  const Hardware& hardware_;
  const tools::StartupTimes& startup_times_;
  profiling::OperatorProfile* profile_;
  std::unique_ptr<protocols::MemoryMonitor> memory_;
  std::unique_ptr<tools::GraphCapture> graphs_;  // null unless asked for, and on a CPU
};

/// As many threads as there are cores to run them: more would wait for one another at every operator. Who sets
/// OMP_NUM_THREADS has chosen.
void choose_threads() {
  const std::int64_t cores = tools::usable_cores();
  if (!tools::environment_variable("OMP_NUM_THREADS") && cores < at::get_num_threads()) {
    at::set_num_threads(static_cast<int>(cores));
  }
  tools::log_info("CPU threads: ", at::get_num_threads(), " of this process compute, on ", cores,
                  cores == 1 ? " core" : " cores", " that it may use (OMP_NUM_THREADS)");
}

/// Whether a step of rank 0 can be run here; logs what a real job would need, and why not.
bool dry_run_fits(const config::CommandLine& command, const Hardware& hardware) {
  const forecast::Forecast forecast = log_forecast(command.config, command.world_size);
  const bool insists = command.origins.of("training.steps") == "command line";
  const std::string obstacle = obstacle_to_a_step(forecast, hardware, insists);
  if (!obstacle.empty()) tools::log_info("No step is run with real numbers: ", obstacle, ".");
  return obstacle.empty();
}

std::unique_ptr<JobRank> join_job(const JobSetup& setup) {
  if (setup.config.comm.mode == config::CommMode::kFakeBackend) return pretended_rank(setup);
  return setup.world_size == 1 ? lone_rank(setup) : launched_rank(setup);
}

}  // namespace

int train(const config::CommandLine& command, tools::StartupTimes& startup_times) {
  return train_job(command, startup_times, nullptr);
}

int train_job(const config::CommandLine& command, tools::StartupTimes& startup_times,
              profiling::OperatorProfile* profile) {
  const config::JobConfig& config = command.config;
  startup_times.finish("libraries");
  // cuBLAS's products have the same bits every time only so. Before there are other threads: they read the environment.
  if (config.debug.deterministic) ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 1);
  tools::log_info("titan_train version: ", version());
  const tools::LaunchEnvironment launch = tools::read_launch_environment();
  std::unique_ptr<base::FileLock> dump_folder_lock;
  if (launch.rank == 0) {
    dump_folder_lock = lock_dump_folder(config.job.dump_folder);
    report_config(command);
  }

  choose_threads();
  const Hardware hardware = choose_hardware(config, launch);
  const JobSetup setup = {config, command.world_size, hardware.device, launch};
  if (profile != nullptr && !hardware.device.is_cpu()) {
    throw ConfigError(
        "profile: operators of a GPU have only begun when they return, so that their times say "
        "nothing here. Traces know "
        "them: --profiling.enable_profiling. --training.device=cpu profiles the CPU's.");
  }
  const Training training(setup, hardware, startup_times, profile);
  if (config.comm.mode == config::CommMode::kLocalTensor) {
    const tools::StopSignals stop_signals;
    run_rank_threads(setup, [&](JobRank& rank) { training.run(rank, stop_signals); });
    return stop_signals.received() ? 128 + *stop_signals.received() : 0;
  }
  if (config.comm.mode == config::CommMode::kFakeBackend && !dry_run_fits(command, hardware)) {
    return 0;
  }
  const c10::DeviceGuard current_device(hardware.device);
  const std::unique_ptr<JobRank> rank = join_job(setup);
  const tools::StopSignals stop_signals;
  training.run(*rank, stop_signals);
  return stop_signals.received() ? 128 + *stop_signals.received() : 0;
}

}  // namespace titan::app
