#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "titan/watch/watch_setup.h"
#include "watch/flight_recorder.h"
#include "watch/followed_collectives.h"
#include "watch/rank_report.h"
#include "watch/verdict.h"

namespace titan::watch {

/// A thread that says in the store that its rank is alive and where, looks whether another rank has
/// given up, asks about others when a collective fails, and gives up by itself when a followed one does not
/// end: whoever waits for that one hears of nothing. All use of the store is in this thread,
/// so that a store that hangs holds up nobody.
class Heartbeat {
 public:
  /// Is told of the end of the job. Called by the thread.
  struct Events {
    /// Another rank gave up for this reason: time to dump.
    std::function<void(const std::string& reason)> on_abort;
    /// The rank did not end by itself.
    std::function<void(const std::string& reason)> on_overdue;
  };

  Heartbeat(const WatchSetup& setup, std::shared_ptr<const FlightRecorder> recorder,
            std::shared_ptr<FollowedCollectives> followed, Events events);
  /// Does not wait for a store that hangs.
  ~Heartbeat();

  /// Finds out who is to blame and tells all ranks to give up; the sentence for the user. Returns
  /// within a few periods, whatever the store does.
  std::string give_up(const FailedCollective& failed, const std::vector<std::int64_t>& ranks);

  /// What is said last of this rank.
  void leave(std::string_view error);

 private:
  class Loop;
  std::shared_ptr<Loop> loop_;  // the thread's too: it may be left behind in a hanging store
  std::thread thread_;
};

}  // namespace titan::watch
