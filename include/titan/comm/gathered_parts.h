#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "titan/comm/process_group.h"

namespace titan::comm {

/// Tensors `[elements]` of all ranks of a group, as one all-gather brings them: one behind the other, or, where ranks share memory,
/// each where its rank has put it, without a copy. The group outlives it.
class GatheredParts {
 public:
  /// A tensor of so many elements.
  using MakeRoom = std::function<at::Tensor(std::int64_t elements)>;

  /// `make_room`: for those of all ranks, where memory is not shared.
  GatheredParts(ProcessGroup& group, std::int64_t elements, const at::TensorOptions& options,
                const MakeRoom& make_room);

  /// This rank's, to be filled before `start`, and not written to from then on.
  const at::Tensor& own() const { return of(group_->rank()); }
  Work start();
  /// To be read once that is waited for.
  const at::Tensor& of(std::int64_t rank) const {
    return of_rank_.at(static_cast<std::size_t>(rank));
  }
  /// What `make_room` made, `[ranks * elements]`; undefined where memory is shared.
  const at::Tensor& room() const { return room_; }

 private:
  ProcessGroup* group_;
  at::Tensor room_;
  std::vector<at::Tensor> of_rank_;
};

}  // namespace titan::comm
