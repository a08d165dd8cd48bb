#include "components/checkpoint/upkeep.h"

#include "components/checkpoint/in_thread.h"
#include "titan/base/clock.h"
#include "titan/base/errors.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"

namespace titan::components {

Upkeep::~Upkeep() { wait(); }

void Upkeep::leave_all_beyond(std::int64_t step) {
  wait();
  leave(step, run_.beyond(step));
}

void Upkeep::leave_full_beyond(std::int64_t step) {
  wait();
  leave(step, run_.full_beyond(step));
}

/// The last first: where this is cut off, what stays is nearest to the branch that goes on.
void Upkeep::leave(std::int64_t step, const std::vector<FoundCheckpoint>& left) {
  for (auto checkpoint = left.rbegin(); checkpoint != left.rend(); ++checkpoint) {
    const std::string path = run_.set_aside(*checkpoint);
    tools::log_warning("The run goes on from step ", step, ": '", checkpoint->path,
                       "' is of the branch that it leaves, and is called '", path,
                       "' from now on. It is neither resumed nor removed.");
  }
}

void Upkeep::start(std::int64_t step) {
  wait();
  // Before the next save begins, which would be beyond this one too.
  try {
    leave(step, run_.full_beyond(step));
  } catch (const RunError& error) {
    tools::log_warning("Checkpoints beyond step ", step,
                       " stay, and the next run would begin with ",
                       "the last of them: ", error.what());
  }
  if (keep_ == 0) return;
  under_way_ =
      in_thread<void>("the removal of old checkpoints", [this, step] { remove_old(step); });
}

void Upkeep::wait() {
  if (under_way_.valid()) under_way_.get();
}

void Upkeep::remove_old(std::int64_t newest) try {
  for (const std::string& path : run_.superfluous(keep_, newest)) remove(path);
} catch (const std::exception& error) {
  tools::log_warning("Old checkpoints could not be removed: ", error.what());
}

/// The next save tries again.
void Upkeep::remove(const std::string& path) try {
  const double start = base::monotonic_seconds();
  run_.remove(path);
  tools::log_info("Checkpointer deleted ", path, " in ",
                  tools::fixed(base::monotonic_seconds() - start, 2), " seconds.");
} catch (const RunError& error) {
  if (!said_.insert(path).second) return;
  tools::log_warning("The old checkpoint '", path, "' could not be removed: ", error.what());
}

}  // namespace titan::components
