#include "titan/pipeline/timeline.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "titan/base/clock.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/config/job_config.h"
#include "titan/schedule/drawing.h"
#include "titan/schedule/lowering.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"

namespace titan::pipeline {

using schedule::Action;
using schedule::Interval;
using schedule::Op;
using schedule::RankTimeline;
using schedule::Timeline;

namespace {

constexpr double kMillisecondsPerSecond = 1000;

c10::Stream current_stream(at::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

}  // namespace

/// A place in what a device does; without one, a time.
class Stopwatch::Moment {
 public:
  explicit Moment(at::Device device) {
    if (device.is_cpu()) {
      seconds_ = base::monotonic_seconds();
    } else {
      event_.emplace(device.type(), c10::EventFlag::BACKEND_DEFAULT);
      event_->record(current_stream(device));
    }
  }

  double milliseconds_since(const Moment& earlier) const {
    if (!event_) return (seconds_ - earlier.seconds_) * kMillisecondsPerSecond;
    event_->synchronize();
    return earlier.event_->elapsedTime(*event_);
  }

 private:
  double seconds_ = 0;
  std::optional<c10::Event> event_;
};

struct Stopwatch::Measured {
  Action action;
  Moment begin;
  std::optional<Moment> end;
};

Stopwatch::Stopwatch(at::Device device)
    : device_(device), zero_(std::make_unique<Moment>(device)) {}

Stopwatch::~Stopwatch() = default;

void Stopwatch::begin(const Action& action) {
  measured_.push_back({action, Moment(device_), std::nullopt});
}

void Stopwatch::end() { measured_.back().end.emplace(device_); }

std::vector<Interval> Stopwatch::intervals() {
  std::vector<Interval> result;
  for (const Measured& each : measured_) {
    TITAN_CHECK(each.end.has_value(), schedule::text(each.action), " has not ended");
    result.push_back(
        {each.action, each.begin.milliseconds_since(*zero_), each.end->milliseconds_since(*zero_)});
  }
  return result;
}

Timeline timeline_of(std::vector<std::vector<Interval>> ranks) {
  double first = std::numeric_limits<double>::infinity();
  for (const std::vector<Interval>& intervals : ranks) {
    for (const Interval& interval : intervals) first = std::min(first, interval.begin);
  }
  Timeline result;
  for (std::vector<Interval>& intervals : ranks) {
    RankTimeline& rank = result.ranks.emplace_back();
    std::vector<Action> actions;
    for (Interval& interval : intervals) {
      interval.begin -= first;
      interval.end -= first;
      rank.busy += interval.end - interval.begin;
      result.makespan = std::max(result.makespan, interval.end);
      actions.push_back(interval.action);
    }
    rank.peak_in_flight = schedule::peak_in_flight(actions);
    rank.intervals = std::move(intervals);
  }
  return result;
}

schedule::Times mean_times(const Timeline& timeline) {
  const auto mean = [&](Op op) {
    double sum = 0;
    std::int64_t count = 0;
    for (const RankTimeline& rank : timeline.ranks) {
      for (const Interval& interval : rank.intervals) {
        if (interval.action.op != op) continue;
        sum += interval.end - interval.begin;
        ++count;
      }
    }
    return count == 0 ? 0 : sum / static_cast<double>(count);
  };
  const double inputs = mean(Op::kInputGradient);
  const double weights = mean(Op::kWeightGradient);
  const double whole = mean(Op::kBackward);
  if (inputs > 0) return {mean(Op::kForward), inputs, weights};
  return {mean(Op::kForward), whole / 2, whole / 2};
}

namespace {

/// Of an interval: stage, operation and microbatch of its action, or of the two of an overlap; begin, end.
constexpr std::int64_t kNumbers = 8;
constexpr double kNone = -1;

/// As many rows as a rank has actions, an overlap counted as two; those that are left are `kNone`.
at::Tensor to_numbers(const std::vector<Interval>& intervals, std::int64_t rows) {
  const at::Tensor numbers = at::full({rows, kNumbers}, kNone, at::kDouble);
  auto* next = numbers.mutable_data_ptr<double>();
  for (const Interval& interval : intervals) {
    double* row = std::exchange(next, next + kNumbers);
    for (const Action& action : schedule::parts_of(interval.action)) {
      *row++ = static_cast<double>(action.stage);
      *row++ = static_cast<double>(action.op);
      *row++ = static_cast<double>(action.microbatch);
    }
    next[-2] = interval.begin;
    next[-1] = interval.end;
  }
  return numbers;
}

Action to_action(const double* numbers) {
  return {static_cast<std::int64_t>(numbers[0]), static_cast<Op>(static_cast<int>(numbers[1])),
          static_cast<std::int64_t>(numbers[2])};
}

std::vector<Interval> from_numbers(const at::Tensor& numbers) {
  const auto* row = numbers.const_data_ptr<double>();
  std::vector<Interval> result;
  for (std::int64_t i = 0; i < numbers.size(0) && *row != kNone; ++i, row += kNumbers) {
    const Action first = to_action(row);
    const bool is_overlap = row[3] != kNone;
    result.push_back({is_overlap ? schedule::overlap(first, to_action(row + 3)) : first,
                      row[kNumbers - 2], row[kNumbers - 1]});
  }
  return result;
}

std::int64_t parts_in(const std::vector<Action>& actions) {
  std::int64_t parts = 0;
  for (const Action& action : actions) {
    parts += static_cast<std::int64_t>(schedule::parts_of(action).size());
  }
  return parts;
}

std::string percent(double share) { return concat(tools::fixed(100 * share, 1), " %"); }

/// "forward 12.10 ms, backward 24.00 ms".
std::string times_text(const schedule::Times& times, bool splits) {
  const auto ms = [](double time) { return tools::fixed(time, 2) + " ms"; };
  const std::string forward = "forward " + ms(times.forward);
  if (!splits)
    return concat(forward, ", backward ", ms(times.input_gradient + times.weight_gradient));
  return concat(forward, ", backward of inputs ", ms(times.input_gradient), ", of weights ",
                ms(times.weight_gradient));
}

bool splits_backward(const Timeline& timeline) {
  return std::ranges::any_of(timeline.ranks, [](const RankTimeline& rank) {
    return std::ranges::any_of(rank.intervals, [](const Interval& interval) {
      return interval.action.op == Op::kInputGradient;
    });
  });
}

}  // namespace

TimelineWriter::TimelineWriter(const schedule::Schedule& computations,
                               const config::JobConfig& config, const comm::RankContext& context)
    : computations_(schedule::computations_of(computations)), config_(config), context_(context) {}

bool TimelineWriter::is_due(std::int64_t step) const {
  // Of peers that are pretended there is nothing to see.
  const bool is_alone = config_.comm.mode == config::CommMode::kFakeBackend;
  return config_.profiling.enable_pipeline_timeline && !is_alone &&
         step % config_.profiling.profile_freq == 0 &&
         context_.group(mesh::MeshDim::kPp).ranks().front() == 0;
}

void TimelineWriter::start() {
  if (!context_.device.is_cpu()) current_stream(context_.device).synchronize();
  context_.group(mesh::MeshDim::kPp).barrier();
  stopwatch_ = std::make_unique<Stopwatch>(context_.device);
}

void TimelineWriter::finish(std::int64_t step) {
  const std::vector<Interval> mine = std::exchange(stopwatch_, nullptr)->intervals();
  comm::ProcessGroup& group = context_.group(mesh::MeshDim::kPp);
  const auto rows_of = [&](std::int64_t rank) {
    return parts_in(computations_.ranks[static_cast<std::size_t>(rank)]);
  };
  if (group.rank() != 0) {
    group.send(to_numbers(mine, rows_of(group.rank())).to(context_.device), 0).wait();
    return;
  }
  std::vector<std::vector<Interval>> ranks = {mine};
  for (std::int64_t rank = 1; rank < group.size(); ++rank) {
    const at::Tensor numbers = at::empty(
        {rows_of(rank), kNumbers}, at::TensorOptions().dtype(at::kDouble).device(context_.device));
    group.receive(numbers, rank).wait();
    ranks.push_back(from_numbers(numbers.cpu()));
  }
  write(timeline_of(std::move(ranks)), step);
}

void TimelineWriter::write(const Timeline& measured, std::int64_t step) const {
  const schedule::Times times = mean_times(measured);
  const Timeline simulated = schedule::simulate(computations_, times);
  const std::string where = std::filesystem::path(config_.job.dump_folder) /
                            config_.profiling.save_traces_folder / concat("iteration_", step) /
                            "pipeline_timeline";
  tools::log_info("Pipeline at step ", step, ": ", tools::fixed(measured.makespan, 2),
                  " ms, bubble ", percent(measured.bubble()), "; simulated with its mean times (",
                  times_text(times, splits_backward(measured)),
                  "): ", tools::fixed(simulated.makespan, 2), " ms, bubble ",
                  percent(simulated.bubble()), ". Timeline: ", where, ".svg");
  const schedule::Placement& placement = computations_.placement;
  const std::string title =
      concat(computations_.name, ", ", placement.ranks, " ranks, ", placement.stages(), " stages, ",
             computations_.microbatches, " microbatches, step ", step, " as measured, in ms");
  try {
    base::FileSystem& files = base::posix_file_system();
    files.create_directories(std::filesystem::path(where).parent_path());
    base::write_file_atomically(files, where + ".svg",
                                schedule::timeline_svg(measured, placement, title));
    base::write_file_atomically(files, where + ".json", schedule::timeline_trace(measured));
  } catch (const RunError& error) {
    tools::log_error("The pipeline's timeline is lost, training goes on: ", error.what());
  }
}

}  // namespace titan::pipeline
