#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "forecast/memory_tracker.h"
#include "forecast/traffic.h"
#include "titan/schedule/schedule.h"

namespace titan::forecast {

/// Performs a rank's actions of a pipeline on pretended tensors, but not those that only repeat: from the second microbatch on
/// an action of a stage takes and gives back the same memory and sends the same. (The first makes what stays, as gradients.)
/// So each kind of action is run twice, and what the second has done is booked for all that follow, in their places. One step.
class RepeatedActions {
 public:
  /// `actions`: of the rank, lowered. What is given outlives the object.
  RepeatedActions(const std::vector<schedule::Action>& actions, MemoryTracker& memory,
                  Traffic& traffic);

  /// The next local batch begins, which stands for `alike` of them.
  void begin_batch(std::int64_t alike);
  /// Performs an action, or books it.
  void perform(const schedule::Action& action, const std::function<void()>& really);
  /// The last batch is over: what was booked and not given back, results, is gone.
  void end_batch();

 private:
  using Kind = std::pair<std::int64_t, schedule::Op>;  // of a stage
  struct Repeated {
    std::int64_t seen = 0;    // in this batch
    std::int64_t booked = 0;  // in each batch
    MemoryTracker::Episode episode = {};
  };

  bool is_run(const schedule::Action& action) const;

  MemoryTracker& memory_;
  Traffic& traffic_;
  std::set<std::int64_t> run_;  // microbatches, which stages of a rank may hand to one another
  std::map<Kind, Repeated> kinds_;
  std::int64_t alike_ = 1;
  LiveBytes held_;  // by what was booked
};

}  // namespace titan::forecast
