#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "watch/flight_recorder.h"

namespace titan::watch {

/// What a rank says of itself in the store, every second.
struct RankReport {
  enum class State { kRunning, kDone, kFailed };

  std::uint64_t beat = 0;  // counts the reports
  std::string host;
  std::int64_t pid = 0;
  /// Equal where process numbers mean the same: one machine, one boot, one namespace.
  std::string machine;
  State state = State::kRunning;
  std::string error;  // of a rank that failed
  std::int64_t unix_milliseconds = 0;
  PhaseNow phase;
  std::vector<GroupProgress> groups;
  std::optional<PendingCollective> pending;
};

std::string to_text(const RankReport& report);
/// Nothing where the text is no report.
std::optional<RankReport> parse_rank_report(const std::string& text);

}  // namespace titan::watch
