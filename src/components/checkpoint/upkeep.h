#pragma once

#include <cstdint>
#include <future>
#include <set>
#include <string>
#include <vector>

#include "components/checkpoint/run_checkpoints.h"

namespace titan::components {

/// Keeps the folder of a run's checkpoints such that the newest in it are this run's, and removes old
/// ones. For one rank.
class Upkeep {
 public:
  /// `run` outlives the object. `keep`: checkpoint.keep_latest_k.
  Upkeep(const RunCheckpoints& run, std::int64_t keep) : run_(run), keep_(keep) {}
  /// Waits for what is under way.
  ~Upkeep();

  /// The run goes on from `step`, on purpose: all checkpoints beyond it are set aside. Throws RunError.
  void leave_all_beyond(std::int64_t step);
  /// The run goes on from `step`, or has saved it: whoever resumes is not to go on from a checkpoint
  /// beyond it, so those are set aside. What holds a model only, the last save of a shorter run, misleads
  /// nobody and stays. Throws RunError.
  void leave_full_beyond(std::int64_t step);

  /// `step` is saved and durable, and no other save is under way: sets aside what is beyond it as
  /// `leave_full_beyond` does, and removes what is old, in a thread. Warns of what fails,
  /// once.
  void start(std::int64_t step);
  /// Waits for what `start` has begun.
  void wait();

 private:
  void leave(std::int64_t step, const std::vector<FoundCheckpoint>& left);
  void remove_old(std::int64_t newest);
  void remove(const std::string& path);

  const RunCheckpoints& run_;
  std::int64_t keep_;
  std::future<void> under_way_;
  std::set<std::string> said_;  // what could not be removed
};

}  // namespace titan::components
