#include "forecast/repeated_actions.h"

namespace titan::forecast {

using schedule::Action;
using schedule::Op;

namespace {

/// How often a kind of action is run: the first time, and once for all that follow.
constexpr std::int64_t kTimes = 2;

}  // namespace

RepeatedActions::RepeatedActions(const std::vector<Action>& actions, MemoryTracker& memory,
                                 Traffic& traffic)
    : memory_(memory), traffic_(traffic) {
  const auto for_each = [&](const auto& visit) {
    for (const Action& whole : actions) {
      for (const Action& action : schedule::parts_of(whole)) {
        if (schedule::has_microbatch(action.op)) visit(action);
      }
    }
  };
  // A microbatch passes with all its actions or with none.
  for_each([&](const Action& action) {
    if (kinds_[{action.stage, action.op}].seen++ < kTimes) run_.insert(action.microbatch);
  });
  for_each([&](const Action& action) {
    if (!is_run(action)) ++kinds_.at({action.stage, action.op}).booked;
  });
}

bool RepeatedActions::is_run(const Action& action) const {
  return !schedule::has_microbatch(action.op) || run_.contains(action.microbatch);
}

void RepeatedActions::begin_batch(std::int64_t alike) {
  end_batch();
  alike_ = alike;
  traffic_.count_as(alike);
  for (auto& [kind, repeated] : kinds_) repeated.seen = 0;
}

void RepeatedActions::perform(const Action& action, const std::function<void()>& really) {
  if (!schedule::has_microbatch(action.op)) return really();
  Repeated& repeated = kinds_.at({action.stage, action.op});
  if (!is_run(action)) {
    memory_.repeat(repeated.episode);
    held_ += repeated.episode.change;
    return;
  }
  const bool is_regular = ++repeated.seen == kTimes;
  if (!is_regular) return really();
  traffic_.count_as(alike_ * (1 + repeated.booked));
  memory_.begin_episode();
  really();
  repeated.episode = memory_.end_episode();
  traffic_.count_as(alike_);
}

void RepeatedActions::end_batch() {
  memory_.repeat({{}, LiveBytes() - held_});
  held_ = {};
}

}  // namespace titan::forecast
