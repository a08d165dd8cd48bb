#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "titan/comm/collective_observer.h"
#include "titan/watch/watch_setup.h"

namespace titan::watch {

/// Sees what one rank does: the phase it is in and its last collectives. It says so in the store
/// every second, so that a rank whose collective fails can name the one that did not come. Any
/// thread may read, the rank's own threads write; a collective costs well under a microsecond.
class Watch : public comm::CollectiveObserver {
 public:
  /// As ("forward", 12); step 0 is everything before the first step. Waiting for data is "data".
  virtual void enter_phase(std::string_view phase, std::int64_t step) = 0;
  /// Says that this rank ends, so that the others do not take it for lost: with the reason when it
  /// ends with an error, which they then repeat, or with nothing when its work is done.
  virtual void leave(std::string_view error = {}) = 0;
};

/// Begins to watch the thread that calls it, which is to be the rank's own. The first sign of life
/// is in the store on return. Ends, and says so, on destruction.
std::unique_ptr<Watch> make_watch(WatchSetup setup);

/// Prints "titan_train: <reason>" on standard error and ends the process at once with status 1.
[[noreturn]] void end_process(const std::string& reason);

}  // namespace titan::watch
