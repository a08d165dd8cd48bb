#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "titan/components/checkpoint/stateful.h"
#include "titan/config/distributed.h"

namespace titan::base {
class FileSystem;
}
namespace titan::comm {
class ProcessGroup;
}

namespace titan::components {

/// Why a checkpoint is saved.
enum class SaveReason {
  kInterval,  // or the first step
  kLast,      // training is over: what remains may be the model only, in another format
  kCutShort,  // a signal, or the data ran out: everything, so that the run can go on
  kSeed,      // step 0, for other runs to begin with: the model, exactly as it is
};

struct CheckpointerSetup {
  base::FileSystem& files;
  config::Checkpoint config;
  std::string folder = {};     // of all checkpoints
  std::int64_t last_step = 0;  // training.steps
  std::string hf_assets_path = {};
  /// All ranks, on the CPU, used by nothing else; null in a job of one rank.
  comm::ProcessGroup* ranks = nullptr;
  std::int64_t rank = 0;
  /// Hugging Face's format: take the model's weights from a folder, write them to one. Empty for models
  /// without an adapter.
  std::function<void(const std::string& folder)> load_hf = nullptr;
  std::function<void(const std::string& folder)> save_hf = nullptr;
};

/// Saves the states of a job and brings them back. One object per rank; all ranks call the same methods
/// in the same order, from one thread each. A save that fails is logged and training goes on; only
/// the failure of the last save is thrown.
class Checkpointer {
 public:
  /// Throws ConfigError where the config asks for what this model cannot do, RunError where rank 0 cannot
  /// write to the folder.
  Checkpointer(CheckpointerSetup setup, std::vector<std::unique_ptr<Stateful>> states);
  /// Waits for what is under way.
  ~Checkpointer();

  /// Loads what the config and the folder say, and logs what and why. Returns the step at which the run
  /// had ended where its last save, which holds no state to go on from, is all there is to do.
  /// Throws ConfigError, RunError.
  std::optional<std::int64_t> load();

  /// Whether an interval ends with this step.
  bool is_due(std::int64_t step) const;
  /// For a run that has loaded `step` and has nothing to train: writes the last save in Hugging Face's
  /// format where that is asked for and not there yet, beside the checkpoint. Throws RunError.
  void export_loaded(std::int64_t step);
  /// Saves the states as they are after `step`. With `async_mode` returns when they are copied, or the
  /// copying has begun. Does nothing with `load_only`.
  void save(std::int64_t step, SaveReason reason);
  /// To be called before anything changes the states: waits until they are copied. Says what has
  /// become of the last save.
  void before_change();
  /// Waits for the last save and for removals.
  void finish();

  /// Goes back to the newest checkpoint, before `step`, that this has not gone back to just before;
  /// all but the data, which go on. Throws RunError when there is none.
  void roll_back(std::int64_t step);

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace titan::components
