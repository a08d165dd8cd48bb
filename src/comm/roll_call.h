#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "titan/comm/store.h"

namespace titan::comm {

/// One rank as it presents itself to the others.
struct Attendee {
  std::int64_t rank = 0;
  std::int64_t world_size = 1;
  /// Where it runs, for messages: "host a, process 17".
  std::string where;
  /// Whether only those who know the job's secret are heard, for messages.
  bool has_secret = false;
};

/// Returns when all ranks have come to this store. Throws RunError with one message for all ranks:
/// two processes claim one rank, ranks disagree on the number of ranks, or some rank has not come
/// within `timeout`.
void call_roll(Store& store, const Attendee& me, std::chrono::milliseconds timeout);

}  // namespace titan::comm
