#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "titan/comm/store.h"

namespace titan::watch {

/// What a watch is made of.
struct WatchSetup {
  std::int64_t rank = 0;
  std::int64_t world_size = 1;
  /// This machine's name, for messages.
  std::string host;
  /// Best a connection of its own: a call that hangs must not hold up the rank. May be null in a
  /// job of one rank.
  std::shared_ptr<comm::Store> store;
  /// Rank that serves the store, -1 when the launcher does.
  std::int64_t store_rank = 0;
  /// Where a failing run leaves stacks and collectives: `<folder>/<prefix><rank>.json` and
  /// `.stack.txt`.
  std::string traces_folder;
  std::string file_prefix = "rank_";
  /// How many collectives of each rank the flight recorder keeps (comm.trace_buf_size).
  std::int64_t trace_buf_size = 20'000;
  /// Between two signs of life; 0: a second, more where the world is large.
  std::chrono::milliseconds period{0};
  /// After this long without a sign of life rank 0 logs a warning.
  std::chrono::milliseconds silence{10'000};
  /// Once another rank has given up: how long this one may take to end by itself before
  /// `end_rank`. Counted anew, fivefold, when it has got the news in `explain`.
  std::chrono::milliseconds grace{3'000};
  /// Ends this rank for the reason given, called by the watch's own thread. `end_process` for
  /// ranks that are processes, comm::LocalWorld::abort for threads; nothing is done where it is empty.
  std::function<void(const std::string& reason)> end_rank;
};

}  // namespace titan::watch
