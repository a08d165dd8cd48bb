#include "titan/schedule/lowering.h"

#include <algorithm>
#include <map>
#include <set>

#include "titan/base/errors.h"

namespace titan::schedule {

namespace {

/// The next few stages that a list of actions works on, in order.
std::vector<std::int64_t> next_stages(const std::vector<Action>& actions, std::size_t from) {
  constexpr auto kGathered = static_cast<std::size_t>(kMostGatheredStages);
  std::vector<std::int64_t> result;
  for (std::size_t i = from; i < actions.size() && result.size() < kGathered; ++i) {
    for (const Action& action : parts_of(actions[i])) {
      if (std::ranges::count(result, action.stage) == 0 && result.size() < kGathered) {
        result.push_back(action.stage);
      }
    }
  }
  return result;
}

std::vector<Action> with_parameters(const std::vector<Action>& actions) {
  std::vector<Action> result;
  std::vector<std::int64_t> gathered;
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const std::vector<std::int64_t> next = next_stages(actions, i);
    std::erase_if(gathered, [&](std::int64_t stage) {
      if (std::ranges::count(next, stage) > 0) return false;
      result.push_back({stage, Op::kReshard});
      return true;
    });
    for (const std::int64_t stage : next) {
      if (std::ranges::count(gathered, stage) > 0) continue;
      gathered.push_back(stage);
      result.push_back({stage, Op::kUnshard});
    }
    result.push_back(actions[i]);
  }
  for (const std::int64_t stage : gathered) result.push_back({stage, Op::kReshard});
  return result;
}

/// Gradients are complete behind the last of as many backwards as there are microbatches.
std::vector<Action> with_reductions(const std::vector<Action>& actions, std::int64_t microbatches) {
  std::vector<Action> result;
  std::map<std::int64_t, std::int64_t> backwards;  // finished, by stage
  for (const Action& whole : actions) {
    result.push_back(whole);
    for (const Action& action : parts_of(whole)) {
      const bool finishes = action.op == Op::kBackward || action.op == Op::kWeightGradient;
      if (finishes && ++backwards[action.stage] == microbatches) {
        result.push_back({action.stage, Op::kReduceGradients});
      }
    }
  }
  return result;
}

/// Places every rank's actions in the order in which they can happen, with what is sent between.
class Communication {
 public:
  explicit Communication(const Schedule& schedule)
      : placement_(schedule.placement),
        todo_(schedule.ranks),
        placed_(schedule.ranks.size()),
        done_(schedule.ranks.size()) {}

  std::vector<std::vector<Action>> place_all() {
    std::vector<std::size_t> next(todo_.size(), 0);
    for (bool progress = true; progress;) {
      progress = false;
      for (std::size_t rank = 0; rank < todo_.size(); ++rank) {
        if (next[rank] == todo_[rank].size()) continue;
        const Action& action = todo_[rank][next[rank]];
        const auto parts = parts_of(action);
        if (!std::ranges::all_of(parts, [&](const Action& a) { return is_ready(rank, a); })) {
          continue;
        }
        place(rank, action);
        ++next[rank];
        progress = true;
      }
    }
    std::string stuck;
    for (std::size_t rank = 0; rank < todo_.size(); ++rank) {
      if (next[rank] == todo_[rank].size()) continue;
      stuck += concat("\n  rank ", rank, " waits at ", text(todo_[rank][next[rank]]));
    }
    if (!stuck.empty()) throw ConfigError("a pipeline schedule that waits for itself:" + stuck);
    return std::move(placed_);
  }

 private:
  bool is_done(std::size_t rank, const Action& action) const {
    return done_[rank].contains(action);
  }

  bool is_ready(std::size_t rank, const Action& action) const {
    const auto [stage, op, m, parts] = action;
    if (op == Op::kForward && stage > 0) {
      return is_done(rank, {stage, Op::kReceiveForward, m}) ||
             is_done(rank, {stage - 1, Op::kForward, m});
    }
    if ((op == Op::kBackward || op == Op::kInputGradient) && stage + 1 < placement_.stages()) {
      return is_done(rank, {stage, Op::kReceiveBackward, m}) ||
             is_done(rank, {stage + 1, Op::kBackward, m}) ||
             is_done(rank, {stage + 1, Op::kInputGradient, m});
    }
    return true;
  }

  void place(std::size_t rank, const Action& action) {
    placed_[rank].push_back(action);
    for (const Action& part : parts_of(action)) done_[rank].insert(part);
    for (const Action& part : parts_of(action)) {
      const auto [stage, op, m, parts] = part;
      if (op == Op::kForward) {
        send(rank, stage, Op::kSendForward, stage + 1, Op::kReceiveForward, m);
      } else if (op == Op::kBackward || op == Op::kInputGradient) {
        send(rank, stage, Op::kSendBackward, stage - 1, Op::kReceiveBackward, m);
      }
    }
  }

  void send(std::size_t rank, std::int64_t stage, Op send_op, std::int64_t peer_stage,
            Op receive_op, std::int64_t microbatch) {
    if (peer_stage < 0 || peer_stage == placement_.stages()) return;
    const auto peer = static_cast<std::size_t>(placement_.rank_of(peer_stage));
    if (peer == rank) return;
    placed_[rank].push_back({stage, send_op, microbatch});
    placed_[peer].push_back({peer_stage, receive_op, microbatch});
    done_[peer].insert({peer_stage, receive_op, microbatch});
  }

  Placement placement_;
  std::vector<std::vector<Action>> todo_;
  std::vector<std::vector<Action>> placed_;
  std::vector<std::set<Action>> done_;  // by rank
};

/// Whether a computation begins with what a message brings.
bool brings_input(const Action& message, const Action& computation) {
  if (message.stage != computation.stage || message.microbatch != computation.microbatch) {
    return false;
  }
  if (message.op == Op::kReceiveForward) return computation.op == Op::kForward;
  return message.op == Op::kReceiveBackward &&
         (computation.op == Op::kBackward || computation.op == Op::kInputGradient);
}

}  // namespace

std::size_t exchange_length(const std::vector<Action>& actions, std::size_t first) {
  std::size_t end = first;
  while (end < actions.size() && is_message(actions[end].op)) ++end;
  std::size_t next = end;
  while (next < actions.size() && !is_compute(actions[next].op)) ++next;
  if (next == actions.size()) return end - first;
  const std::vector<Action> computations = parts_of(actions[next]);
  for (std::size_t i = end; i-- > first;) {
    const bool is_needed = std::ranges::any_of(
        computations, [&](const Action& action) { return brings_input(actions[i], action); });
    if (is_needed) return i + 1 - first;
  }
  return end - first;
}

Schedule lower(const Schedule& computations) {
  Schedule result = computations;
  for (std::vector<Action>& actions : result.ranks) {
    actions = with_reductions(with_parameters(actions), result.microbatches);
  }
  result.ranks = Communication(result).place_all();
  return result;
}

Schedule computations_of(const Schedule& schedule) {
  Schedule result = schedule;
  for (std::vector<Action>& actions : result.ranks) {
    std::erase_if(actions, [](const Action& action) { return !is_compute(action.op); });
  }
  return result;
}

}  // namespace titan::schedule
