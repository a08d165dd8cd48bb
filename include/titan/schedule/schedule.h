#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "titan/schedule/action.h"
#include "titan/schedule/stage_placement.h"

namespace titan::schedule {

/// What every rank does, in its order.
struct Schedule {
  std::string name;
  Placement placement;
  std::int64_t microbatches = 1;
  std::vector<std::vector<Action>> ranks;
};

/// The schedules that come with the program.
enum class Kind {
  kGPipe,
  k1F1B,
  kInterleaved1F1B,
  kLoopedBfs,
  kInterleavedZeroBubble,
  kZbvZeroBubble,
  kDualPipeV,
};
inline constexpr std::array<std::string_view, 7> kKindNames = {
    "GPipe",         "1F1B",     "Interleaved1F1B", "LoopedBFS", "InterleavedZeroBubble",
    "ZBVZeroBubble", "DualPipeV"};
constexpr std::string_view to_string(Kind kind) {
  return kKindNames[static_cast<std::size_t>(kind)];
}
/// By name, in small or capital letters.
std::optional<Kind> find_kind(std::string_view name);

/// Whether each rank has one stage; else two or more.
constexpr bool has_one_stage_per_rank(Kind kind) {
  return kind == Kind::kGPipe || kind == Kind::k1F1B;
}
/// Whether stages lie in a V, which has two per rank.
constexpr bool is_v_shaped(Kind kind) {
  return kind == Kind::kZbvZeroBubble || kind == Kind::kDualPipeV;
}
/// Why there is no such schedule, with the nearest that there is; nothing: there is one.
std::optional<std::string> problem_of(Kind kind, std::int64_t ranks, std::int64_t stages_per_rank,
                                      std::int64_t microbatches);

/// What each rank computes, without communication, in PyTorch's order. Throws ConfigError with `problem_of`.
/// Sources: GPipe, Huang et al. 2019; 1F1B, Narayanan et al. 2019, interleaved 2021; looped BFS, Lamy-Poirier
/// 2022; zero bubbles, Qi et al. 2023, in a V 2024; DualPipe, DeepSeek-AI 2024, in a V Sea AI Lab 2025.
Schedule make_schedule(Kind kind, std::int64_t ranks, std::int64_t stages_per_rank,
                       std::int64_t microbatches);

/// What is wrong with what the ranks compute, by each rule: every stage on its rank, every microbatch forward
/// once, backward once (whole or in two halves), a backward behind its forward, the weights' half behind the
/// inputs'. Empty: nothing.
std::vector<std::string> problems_of(const Schedule& schedule);

}  // namespace titan::schedule
