#include "titan/schedule/simulation.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include "titan/base/errors.h"
#include "titan/schedule/lowering.h"

namespace titan::schedule {

namespace {

/// What must have ended, on any rank, before an action begins.
struct Need {
  std::int64_t stage;
  std::int64_t microbatch;
  bool backward;  // the inputs' gradients; else the activations
};

std::string text_of(const Need& need) {
  return text({need.stage, need.backward ? Op::kBackward : Op::kForward, need.microbatch});
}

class Simulation {
 public:
  Simulation(const Schedule& schedule, const Times& times)
      : schedule_(computations_of(schedule)),
        times_(times),
        next_(schedule.ranks.size(), 0),
        clock_(schedule.ranks.size(), 0) {
    for (const std::vector<Action>& actions : schedule_.ranks) {
      timeline_.ranks.emplace_back().peak_in_flight = peak_in_flight(actions);
    }
  }

  Timeline run() {
    for (bool progress = true; progress;) {
      progress = false;
      for (std::size_t rank = 0; rank < next_.size(); ++rank) {
        while (next_[rank] < schedule_.ranks[rank].size() && try_next(rank)) progress = true;
      }
    }
    check_finished();
    timeline_.makespan = std::ranges::max(clock_);
    return std::move(timeline_);
  }

 private:
  std::optional<Need> need_of(const Action& action) const {
    if (action.op == Op::kForward && action.stage > 0) {
      return Need{action.stage - 1, action.microbatch, false};
    }
    const bool starts_backward = action.op == Op::kBackward || action.op == Op::kInputGradient;
    if (starts_backward && action.stage + 1 < schedule_.placement.stages()) {
      return Need{action.stage + 1, action.microbatch, true};
    }
    return std::nullopt;
  }

  /// When an action's need is met on its rank; nothing: not yet.
  std::optional<double> ready_at(std::size_t rank, const Action& action) const {
    const std::optional<Need> need = need_of(action);
    if (!need) return 0;
    const auto& ended = need->backward ? backward_ended_ : forward_ended_;
    const auto found = ended.find({need->stage, need->microbatch});
    if (found == ended.end()) return std::nullopt;
    const bool is_elsewhere =
        schedule_.placement.rank_of(need->stage) != static_cast<std::int64_t>(rank);
    return found->second + (is_elsewhere ? times_.transfer : 0);
  }

  double duration(Op op) const {
    switch (op) {
      case Op::kForward:
        return times_.forward;
      case Op::kBackward:
        return times_.input_gradient + times_.weight_gradient;
      case Op::kInputGradient:
        return times_.input_gradient;
      case Op::kWeightGradient:
        return times_.weight_gradient;
      default:
        return 0;
    }
  }

  bool try_next(std::size_t rank) {
    const Action& action = schedule_.ranks[rank][next_[rank]];
    double begin = clock_[rank];
    for (const Action& part : parts_of(action)) {
      const std::optional<double> ready = ready_at(rank, part);
      if (!ready) return false;
      begin = std::max(begin, *ready);
    }
    double end = begin;
    for (const Action& part : parts_of(action)) {
      end += duration(part.op);
      finish(part, end);
    }
    RankTimeline& line = timeline_.ranks[rank];
    line.intervals.push_back({action, begin, end});
    line.busy += end - begin;
    clock_[rank] = end;
    ++next_[rank];
    return true;
  }

  void finish(const Action& action, double end) {
    const std::pair key(action.stage, action.microbatch);
    if (action.op == Op::kForward) forward_ended_[key] = end;
    if (action.op == Op::kBackward || action.op == Op::kInputGradient) backward_ended_[key] = end;
  }

  void check_finished() const {
    std::string stuck;
    for (std::size_t rank = 0; rank < next_.size(); ++rank) {
      if (next_[rank] == schedule_.ranks[rank].size()) continue;
      const Action& action = schedule_.ranks[rank][next_[rank]];
      for (const Action& part : parts_of(action)) {
        if (ready_at(rank, part)) continue;
        const Need need = *need_of(part);
        stuck += concat("\n  rank ", rank, ": ", text(part), " waits for ", text_of(need),
                        " of rank ", schedule_.placement.rank_of(need.stage));
      }
    }
    if (!stuck.empty()) {
      throw ConfigError(concat("the pipeline schedule ", schedule_.name, " gets stuck:", stuck));
    }
  }

  Schedule schedule_;
  Times times_;
  std::vector<std::size_t> next_;  // by rank
  std::vector<double> clock_;
  std::map<std::pair<std::int64_t, std::int64_t>, double> forward_ended_;  // by stage, microbatch
  std::map<std::pair<std::int64_t, std::int64_t>, double> backward_ended_;
  Timeline timeline_;
};

}  // namespace

double Timeline::bubble() const {
  const double all = makespan * static_cast<double>(ranks.size());
  if (all == 0) return 0;
  return 1 - std::accumulate(ranks.begin(), ranks.end(), 0.0,
                             [](double sum, const RankTimeline& r) { return sum + r.busy; }) /
                 all;
}

std::int64_t peak_in_flight(const std::vector<Action>& actions) {
  std::int64_t in_flight = 0, peak = 0;
  for (const Action& whole : actions) {
    for (const Action& action : parts_of(whole)) {
      if (action.op == Op::kForward) peak = std::max(peak, ++in_flight);
      if (action.op == Op::kBackward || action.op == Op::kWeightGradient) --in_flight;
    }
  }
  return peak;
}

Timeline simulate(const Schedule& schedule, const Times& times) {
  return Simulation(schedule, times).run();
}

}  // namespace titan::schedule
