#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace titan::schedule {

/// What a rank of a pipeline does with one of its stages.
enum class Op {
  kForward,
  kBackward,         ///< of inputs and weights
  kInputGradient,    ///< the first half of a backward that is split,
  kWeightGradient,   ///< and the second
  kUnshard,          ///< gather the stage's parameters (FSDP)
  kReshard,          ///< give them back
  kReduceGradients,  ///< sum over the ranks what all microbatches have left
  kSendForward,      ///< activations to the next stage
  kReceiveForward,   ///< activations from the one before
  kSendBackward,     ///< gradients to the stage before
  kReceiveBackward,  ///< gradients from the next one
  kOverlap,          ///< a forward and a backward, of different stages, that may run at once
};

/// Whether it computes; the others are what goes on around.
constexpr bool is_compute(Op op) { return op <= Op::kWeightGradient || op == Op::kOverlap; }
/// Whether it sends or receives.
constexpr bool is_message(Op op) { return op >= Op::kSendForward && op <= Op::kReceiveBackward; }
/// Whether it is about one microbatch.
constexpr bool has_microbatch(Op op) {
  return op != Op::kUnshard && op != Op::kReshard && op != Op::kReduceGradients;
}

/// One of a rank's actions. Stages and microbatches count from 0.
struct Action {
  std::int64_t stage = 0;
  Op op = Op::kForward;
  std::int64_t microbatch = 0;  ///< 0 where `has_microbatch` is false
  /// Of kOverlap: its two actions, the first one's stage and microbatch above.
  std::vector<Action> parts = {};

  std::strong_ordering operator<=>(const Action& other) const;
  bool operator==(const Action&) const = default;
};

/// Both at once.
Action overlap(const Action& first, const Action& second);
/// The action itself, or the two of an overlap.
std::vector<Action> parts_of(const Action& action);

/// As PyTorch writes it: "2F3", "0UNSHARD", "1SEND_B0", "(0F3;3B1)OVERLAP_F_B".
std::string text(const Action& action);
/// Reads it again; nothing for what is none.
std::optional<Action> parse_action(std::string_view text);

}  // namespace titan::schedule
