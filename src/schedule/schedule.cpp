#include "titan/schedule/schedule.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "schedule/orders.h"
#include "titan/base/errors.h"

namespace titan::schedule {

std::optional<Kind> find_kind(std::string_view name) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  };
  for (std::size_t i = 0; i < kKindNames.size(); ++i) {
    if (std::ranges::equal(kKindNames[i], name, same)) return static_cast<Kind>(i);
  }
  return std::nullopt;
}

namespace {

/// In how many rounds of equal length microbatches pass an interleaved pipeline.
std::int64_t rounds_of(std::int64_t ranks, std::int64_t microbatches) {
  return std::max<std::int64_t>(1, microbatches / ranks);
}

std::optional<std::string> interleaved_problem(std::int64_t ranks, std::int64_t microbatches) {
  if (microbatches % rounds_of(ranks, microbatches) == 0) return std::nullopt;
  std::int64_t below = microbatches;
  while (below % rounds_of(ranks, below) != 0) --below;
  std::int64_t above = microbatches;
  while (above % rounds_of(ranks, above) != 0) ++above;
  return concat("microbatches (", microbatches, ") must be a multiple of their rounds (",
                rounds_of(ranks, microbatches),
                " = microbatches / ranks, rounded down); nearest: ", below, " or ", above);
}

std::vector<std::vector<Action>> orders(Kind kind, const Placement& placement,
                                        std::int64_t microbatches) {
  switch (kind) {
    case Kind::kGPipe:
      return gpipe(placement, microbatches);
    case Kind::k1F1B:
      return one_forward_one_backward(placement, microbatches);
    case Kind::kLoopedBfs:
      return looped_bfs(placement, microbatches);
    case Kind::kInterleaved1F1B:
      return interleaved(placement, microbatches, rounds_of(placement.ranks, microbatches),
                         Halves::kTogether);
    case Kind::kInterleavedZeroBubble:
      return interleaved(placement, microbatches, rounds_of(placement.ranks, microbatches),
                         Halves::kApart);
    case Kind::kZbvZeroBubble:
      return zero_bubble_v(placement, microbatches);
    case Kind::kDualPipeV:
      return dual_pipe_v(placement, microbatches);
  }
  throw InternalError("unknown schedule");
}

}  // namespace

std::optional<std::string> problem_of(Kind kind, std::int64_t ranks, std::int64_t stages_per_rank,
                                      std::int64_t microbatches) {
  const std::int64_t stages = ranks * stages_per_rank;
  if (ranks < 1 || stages_per_rank < 1 || microbatches < 1) {
    return concat("ranks, stages per rank and microbatches must be at least 1");
  }
  if (has_one_stage_per_rank(kind) && stages_per_rank != 1) {
    return concat(to_string(kind), " has one stage per rank, not ", stages_per_rank);
  }
  if (is_v_shaped(kind) && stages_per_rank != 2) {
    return concat(to_string(kind), " has two stages per rank, not ", stages_per_rank);
  }
  if (!has_one_stage_per_rank(kind) && stages_per_rank < 2) {
    return concat(to_string(kind), " has at least two stages per rank, not ", stages_per_rank);
  }
  if ((kind == Kind::k1F1B || kind == Kind::kDualPipeV) && microbatches < stages) {
    return concat(to_string(kind), " needs at least as many microbatches as stages (", stages,
                  "), got ", microbatches);
  }
  if (kind == Kind::kInterleaved1F1B || kind == Kind::kInterleavedZeroBubble) {
    return interleaved_problem(ranks, microbatches);
  }
  return std::nullopt;
}

Schedule make_schedule(Kind kind, std::int64_t ranks, std::int64_t stages_per_rank,
                       std::int64_t microbatches) {
  if (const auto problem = problem_of(kind, ranks, stages_per_rank, microbatches)) {
    throw ConfigError("pipeline schedule: " + *problem);
  }
  Schedule schedule{
      std::string(to_string(kind)), {ranks, stages_per_rank, is_v_shaped(kind)}, microbatches, {}};
  schedule.ranks = orders(kind, schedule.placement, microbatches);
  return schedule;
}

namespace {

/// How often, and in which order, the halves of one microbatch's way through one stage have come.
struct Progress {
  int forward = 0;
  int backward = 0;
  int input = 0;
  int weight = 0;
};

/// Why an action cannot follow what there was of its microbatch, which is brought up to date.
std::optional<std::string> next(Progress& progress, Op op) {
  switch (op) {
    case Op::kForward:
      if (++progress.forward > 1) return "is there twice";
      return std::nullopt;
    case Op::kBackward:
    case Op::kInputGradient:
      ++(op == Op::kBackward ? progress.backward : progress.input);
      if (progress.backward + progress.input > 1) return "is there twice";
      if (progress.forward == 0) return "comes before its forward";
      return std::nullopt;
    case Op::kWeightGradient:
      if (++progress.weight > 1) return "is there twice";
      if (progress.input == 0) return "comes before its input gradient";
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace

std::vector<std::string> problems_of(const Schedule& schedule) {
  std::vector<std::string> problems;
  std::map<std::pair<std::int64_t, std::int64_t>, Progress> done;  // by stage and microbatch
  const Placement& placement = schedule.placement;
  for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    const auto blame = [&](const Action& action, const std::string& what) {
      problems.push_back(concat("rank ", rank, ": ", text(action), " ", what));
    };
    for (const Action& whole : schedule.ranks[rank]) {
      for (const Action& action : parts_of(whole)) {
        if (action.stage >= placement.stages()) {
          blame(action,
                concat("is of a stage that there is not; they are 0 to ", placement.stages() - 1));
        } else if (placement.rank_of(action.stage) != static_cast<std::int64_t>(rank)) {
          blame(action, concat("is of a stage of rank ", placement.rank_of(action.stage)));
        } else if (has_microbatch(action.op) && action.microbatch >= schedule.microbatches) {
          blame(action, concat("is of a microbatch that there is not; they are 0 to ",
                               schedule.microbatches - 1));
        } else if (const auto wrong = next(done[{action.stage, action.microbatch}], action.op)) {
          blame(action, *wrong);
        }
      }
    }
  }
  for (std::int64_t stage = 0; stage < placement.stages() && problems.empty(); ++stage) {
    for (std::int64_t microbatch = 0; microbatch < schedule.microbatches; ++microbatch) {
      const Progress& progress = done[{stage, microbatch}];
      const auto missing = [&](bool is_there, Op op) {
        if (is_there) return;
        problems.push_back(concat("rank ", placement.rank_of(stage), ": ",
                                  text({stage, op, microbatch}), " is missing"));
      };
      missing(progress.forward == 1, Op::kForward);
      missing(progress.backward + progress.input == 1, Op::kBackward);
      missing(progress.weight == progress.input, Op::kWeightGradient);
    }
  }
  return problems;
}

}  // namespace titan::schedule
