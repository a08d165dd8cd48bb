#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "titan/comm/rank_context.h"
#include "titan/schedule/simulation.h"

namespace titan::config {
struct JobConfig;
}

namespace titan::pipeline {

/// When the computations of one rank began and ended: on a GPU, when its kernels did, without holding them up.
class Stopwatch {
 public:
  /// Its time begins now, on the current stream of `device`.
  explicit Stopwatch(at::Device device);
  ~Stopwatch();
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  void begin(const schedule::Action& action);
  /// Of the action that began last.
  void end();
  /// In milliseconds. Waits for the device.
  std::vector<schedule::Interval> intervals();

 private:
  class Moment;
  struct Measured;

  at::Device device_;
  std::unique_ptr<Moment> zero_;
  std::vector<Measured> measured_;
};

/// What the ranks of a pipeline were measured doing, as a simulation of it would be. `ranks`: intervals by place in the
/// pipeline. Time begins with the first of them.
schedule::Timeline timeline_of(std::vector<std::vector<schedule::Interval>> ranks);

/// What a microbatch takes on average, for a simulation beside what was measured. Without transfers.
schedule::Times mean_times(const schedule::Timeline& timeline);

/// Every `profiling.profile_freq` steps, measures the pipeline that rank 0 of the job is in and writes what each rank did
/// when, as a picture and a trace.
class TimelineWriter {
 public:
  /// `computations`: the job's schedule. The others outlive the object.
  TimelineWriter(const schedule::Schedule& computations, const config::JobConfig& config,
                 const comm::RankContext& context);

  bool is_due(std::int64_t step) const;
  /// Waits for all ranks of the pipeline, whose times then begin together.
  void start();
  /// Of the measurement under way; null without one.
  Stopwatch* stopwatch() { return stopwatch_.get(); }
  /// Gathers what was measured and, on the pipeline's first rank, writes it. A file that cannot be written is logged and
  /// does not end the run.
  void finish(std::int64_t step);

 private:
  void write(const schedule::Timeline& measured, std::int64_t step) const;

  schedule::Schedule computations_;
  const config::JobConfig& config_;
  const comm::RankContext& context_;
  std::unique_ptr<Stopwatch> stopwatch_;
};

}  // namespace titan::pipeline
