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

/// While one lives, SIGUSR1 asks for a profile of the next training step instead of killing the
/// process, which is what it does before the first and after the last. Several may live at a time
/// (ranks that are threads of one process): each sees every request.
class ProfileRequest {
 public:
  ProfileRequest();
  /// The last one restores the handler from before the first.
  ~ProfileRequest();
  ProfileRequest(const ProfileRequest&) = delete;
  ProfileRequest& operator=(const ProfileRequest&) = delete;

  /// Whether SIGUSR1 came since the last call, or since construction. Several signals between two
  /// calls are one request. One thread at a time.
  bool take();

 private:
  unsigned seen_;
};

}  // namespace titan::tools
