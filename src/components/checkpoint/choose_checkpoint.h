#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "components/checkpoint/run_checkpoints.h"
#include "titan/config/distributed.h"

namespace titan::comm {
class ProcessGroup;
}

namespace titan::components {

/// What a run begins with, and why.
struct CheckpointChoice {
  enum class Source { kNothing, kDcp, kHuggingFace };
  Source source = Source::kNothing;
  std::string path;
  bool model_only = false;
  /// The run whose checkpoint this is has ended at this step, and there is nothing left to do.
  std::optional<std::int64_t> finished_at = std::nullopt;
  std::string reason;     // "the newest checkpoint in ..."
  std::int64_t step = 0;  // of the checkpoint that is gone back to
};

/// Looks into the folder and at the config. `last_step`: training.steps. Throws ConfigError or RunError
/// when what the config asks for is not there.
CheckpointChoice choose_checkpoint(base::FileSystem& files, const RunCheckpoints& run,
                                   const config::Checkpoint& config, std::int64_t last_step,
                                   const std::string& hf_assets_path);

/// The newest before `step`, not one of `bad`, that a run can go on from, for debug.on_nan = "rollback".
/// Throws RunError when there is none.
CheckpointChoice choose_to_go_back_to(const RunCheckpoints& run, std::int64_t step,
                                      const std::set<std::int64_t>& bad);

/// Whether the run begins a new branch at `checkpoint.load_step`. Who only looks at an earlier step -
/// nothing is left to train there, or nothing is saved - leaves none.
bool goes_back(const config::Checkpoint& config, std::int64_t last_step);

/// What the choice and `checkpoint.exclude_from_loading` leave of `states`. Throws ConfigError for a name
/// that is not in `states`.
std::vector<std::string> states_to_load(const CheckpointChoice& choice,
                                        const std::vector<std::string>& excluded,
                                        const std::vector<std::string>& states);

/// Rank 0 chooses, all ranks get its choice, or throw what it has thrown: folders may look different from
/// different machines. `ranks`: null in a job of one.
CheckpointChoice agreed_choice(comm::ProcessGroup* ranks,
                               const std::function<CheckpointChoice()>& choose);

}  // namespace titan::components
