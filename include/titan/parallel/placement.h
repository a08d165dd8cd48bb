#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "titan/comm/process_group.h"

namespace titan::parallel {

/// How a tensor at a module's boundary lies on the ranks of one axis, and its gradient with it:
///
///                value                                      gradient
///     whole      the same on all ranks                      the same on all ranks
///     shared     the same on all ranks, each of which       each rank's is a part of the sum
///                does another part of the work with it
///     cut(d)     each rank's is a part of dimension d       likewise
///     partial    each rank's is a part of the sum           the same on all ranks
///
/// PyTorch's Replicate is `whole` or `shared`, which it tells apart by the gradient that comes back; Shard is
/// `cut`, Partial `partial`. A dimension is cut as torch.chunk cuts; negative ones count from the end.
class Placement {
 public:
  enum class Kind { kWhole, kShared, kCut, kPartial };

  static constexpr Placement whole() { return {Kind::kWhole, 0}; }
  static constexpr Placement shared() { return {Kind::kShared, 0}; }
  static constexpr Placement cut(std::int64_t dim) { return {Kind::kCut, dim}; }
  static constexpr Placement partial() { return {Kind::kPartial, 0}; }

  constexpr Kind kind() const { return kind_; }
  /// Of `cut`.
  constexpr std::int64_t dim() const { return dim_; }
  /// "cut(1)".
  std::string text() const;

  bool operator==(const Placement&) const = default;

 private:
  constexpr Placement(Kind kind, std::int64_t dim) : kind_(kind), dim_(dim) {}

  Kind kind_;
  std::int64_t dim_;
};

/// From one placement to another.
struct Move {
  Placement from;
  Placement to;
};

/// What a move does: "all-gather of dimension 1", and backward "reduce-scatter of dimension 1"; empty where
/// nothing is sent.
struct MoveText {
  std::string forward;
  std::string backward;
};
/// Throws InternalError for a move that there is not: to `partial` from anything else.
MoveText text_of(const Move& move);

/// The tensor in its new placement; differentiable. All ranks of the group call it together, in backward
/// too. `length` is that of the whole of the dimension that is, or gets, cut; nothing: it is a multiple of
/// the number of ranks.
at::Tensor redistribute(const at::Tensor& tensor, const Move& move, comm::ProcessGroup& group,
                        std::optional<std::int64_t> length = std::nullopt);

}  // namespace titan::parallel
