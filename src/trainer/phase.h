#pragma once

#include "titan/comm/rank_context.h"
#include "titan/profiling/range.h"
#include "titan/watch/watch.h"

namespace titan::trainer {

/// Names what a rank does from now on: in a trace, until its destruction, and for messages about
/// ranks that hang, until the next phase. `name` outlives the job.
class Phase {
 public:
  Phase(const comm::RankContext& context, const char* name, std::int64_t step) : range_(name) {
    if (context.watch != nullptr) context.watch->enter_phase(name, step);
  }

 private:
  profiling::Range range_;
};

}  // namespace titan::trainer
