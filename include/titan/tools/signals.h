#pragma once

#include <optional>
#include <vector>

namespace titan::tools {

/// The signals that ask a run to stop: SIGINT, SIGTERM, SIGHUP (the terminal is gone), and with which
/// schedulers warn, SIGUSR2 and SIGXCPU. Without those of the last three that whoever started the
/// program had it ignore, as nohup does with SIGHUP.
std::vector<int> stop_signals();

/// While it lives, the `stop_signals()` ask the program to stop instead of killing it; the training
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

 private:
  std::vector<int> heard_ = stop_signals();
};

/// Hears SIGUSR1, which asks for a profile of the next training step. The first object installs the
/// handler for the rest of the process's life: before that the signal kills, as everywhere, and
/// afterwards never, not even a run that is just ending. Of several objects (ranks that are threads
/// of one process) each hears every signal.
class ProfileRequest {
 public:
  ProfileRequest();

  /// Whether SIGUSR1 came since the last call, or since construction. Several signals between two
  /// calls are one request. One thread at a time.
  bool take();

 private:
  unsigned seen_;
};

}  // namespace titan::tools
