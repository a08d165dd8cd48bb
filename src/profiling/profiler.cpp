#include "titan/profiling/profiler.h"

#include <filesystem>

#include "profiling/step_traces.h"
#include "titan/base/clock.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/tools/accelerator.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"

namespace titan::profiling {

namespace {

/// As many as TorchTitan keeps.
constexpr std::size_t kMostHistoryEntries = 100000;

tools::Accelerator& require(tools::Accelerator* accelerator) {
  if (accelerator == nullptr) {
    throw ConfigError(
        "profiling.enable_memory_snapshot = true: snapshots are of the CUDA caching allocator, but "
        "this run trains on the CPU. Train on a GPU or turn them off; profiling.enable_profiling "
        "works on the CPU, too.");
  }
  return *accelerator;
}

}  // namespace

/// Snapshots of the GPU's caching allocator with the history of its allocations, in the pickle format
/// of torch.cuda.memory._dump_snapshot, which pytorch.org/memory_viz shows.
class MemorySnapshots {
 public:
  /// Throws ConfigError without an accelerator.
  MemorySnapshots(const config::Profiling& config, const ProfilerSetup& setup)
      : files_(setup.files),
        folder_(std::filesystem::path(setup.dump_folder) / config.save_memory_snapshot_folder),
        rank_(setup.rank),
        every_(config.profile_freq),
        accelerator_(require(setup.accelerator)) {}

  void start(std::int64_t completed_steps) {
    completed_ = completed_steps;
    files_.create_directories(folder_);
    accelerator_.record_memory_history(kMostHistoryEntries);
    tools::log_info("Memory profiler active. Snapshot will be saved at ", folder_);
  }

  void end_step() {
    ++completed_;
    if (completed_ % every_ == 0) save(concat("iteration_", completed_));
  }

  /// Writes `iteration_<n>_exit`, n steps being done. The history shows the allocation that failed.
  void out_of_memory() noexcept { save(concat("iteration_", completed_, "_exit")); }

 private:
  void save(const std::string& iteration) noexcept {
    try {
      tools::log_info("Dumping memory snapshot at step ", completed_);
      const double start = base::monotonic_seconds();
      const auto folder = std::filesystem::path(folder_) / iteration;
      files_.create_directories(folder);
      base::write_file_atomically(files_, folder / concat("rank", rank_, "_memory_snapshot.pickle"),
                                  accelerator_.memory_snapshot());
      tools::log_info("Finished dumping memory snapshot in ",
                      tools::fixed(base::monotonic_seconds() - start, 2), " seconds");
    } catch (const std::exception& error) {
      tools::log_error("The memory snapshot is lost: ", error.what());
    }
  }

  base::FileSystem& files_;
  std::string folder_;
  std::int64_t rank_;
  std::int64_t every_;
  tools::Accelerator& accelerator_;
  std::int64_t completed_ = 0;
};

Profiler::Profiler(const config::Profiling& config, ProfilerSetup setup) {
  if (config.enable_memory_snapshot) {
    snapshots_ = std::make_unique<MemorySnapshots>(config, setup);
  }
  traces_ = std::make_unique<StepTraces>(config, setup);
}

Profiler::~Profiler() = default;

void Profiler::start(std::int64_t completed_steps) {
  if (snapshots_) snapshots_->start(completed_steps);
  traces_->start(completed_steps);
}

void Profiler::begin_step() { traces_->begin_step(); }

void Profiler::end_step() {
  traces_->end_step();
  if (snapshots_) snapshots_->end_step();
}

void Profiler::finish() { traces_->finish(); }

void Profiler::out_of_memory() noexcept {
  if (snapshots_) snapshots_->out_of_memory();
}

}  // namespace titan::profiling
