#pragma once

#include <optional>

namespace titan::tools {

/// While it lives, SIGINT and SIGTERM ask the program to stop instead of killing it; the training
/// loop looks at `received()` between steps. The first SIGINT says so on standard error; a SIGINT
/// after any earlier request kills at once. At most one object at a time (InternalError).
class StopSignals {
 public:
  StopSignals();
  /// Restores the handlers from before.
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// The first signal received so far: the process should exit with 128 + its number.
  std::optional<int> received() const;
};

}  // namespace titan::tools
