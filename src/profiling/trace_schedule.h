#pragma once

#include <cstdint>

#include "titan/base/errors.h"
#include "titan/config/run.h"

namespace titan::profiling {

/// What the tracer does during one training step.
enum class TracePhase {
  kWait,
  kWarmup,  ///< the device's tracing is on, so that its start-up costs fall on no recorded step
  kRecord,
};

/// The cycle of torch.profiler.schedule, repeated for ever: wait, warm up, record. Steps are counted
/// from 0 by the number of steps done before them, over the whole training, resumed or not.
class TraceSchedule {
 public:
  explicit TraceSchedule(const config::Profiling& config)
      : cycle_(config.profile_freq),
        record_from_(cycle_ - config.profiler_active),
        warmup_from_(record_from_ - config.profiler_warmup) {
    TITAN_CHECK(warmup_from_ >= 0, "the profiling cycle was not validated: ", cycle_);
  }

  TracePhase phase(std::int64_t step) const {
    const std::int64_t position = step % cycle_;
    if (position < warmup_from_) return TracePhase::kWait;
    return position < record_from_ ? TracePhase::kWarmup : TracePhase::kRecord;
  }
  /// The number of steps done when the cycle that `step` is in ends, and its trace is written.
  std::int64_t end_of_cycle(std::int64_t step) const { return step - step % cycle_ + cycle_; }

 private:
  std::int64_t cycle_;
  std::int64_t record_from_;
  std::int64_t warmup_from_;
};

}  // namespace titan::profiling
