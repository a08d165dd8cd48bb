#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "watch/rank_report.h"

namespace titan::watch {

/// A collective, or an exchange of messages, that failed on this rank.
struct FailedCollective {
  std::int64_t rank = 0;
  std::string group;
  std::string operation;
  std::uint64_t sequence = 0;
  double waited_seconds = 0;
  std::int64_t step = 0;
  std::string error;                // of the back end
  std::vector<std::int64_t> peers;  // of messages, as ranks of the world; empty for a collective
};

/// What is known of another rank of the group.
struct PeerView {
  enum class Condition { kAlive, kSilent, kStopped, kGone };

  std::int64_t rank = 0;
  std::optional<RankReport> report;  // the last; none when it never made one
  Condition condition = Condition::kAlive;
  double silent_seconds = 0;
};

/// "rank 3 (host b, pid 4711)".
std::string name_of(const PeerView& peer);

/// "forward of step 12, for 31 s, waiting in all_reduce #7 of tp".
std::string place_of(const RankReport& report);

/// "has not been heard of for 12 s: it is stopped, dead, or its machine hangs", and the like; empty
/// for a rank that is alive.
std::string absence_of(const PeerView& peer);

/// Whether a back end's error is that of a limit, not of a broken connection.
bool says_time_is_over(std::string error);

/// Who is to blame for the failure, in one sentence, and how long this rank waited and what limits
/// that, in another.
std::string describe_failure(const FailedCollective& failed, const std::vector<PeerView>& peers);

/// " Stacks and last collectives of the ranks: <folder>", what a sentence on a failure ends with; empty without a
/// folder.
std::string traces_note(const std::string& folder);

}  // namespace titan::watch
