#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "titan/parallel/checkpoint_forward.h"

namespace titan::parallel {

/// Which operators' results are kept by per-operator selective checkpointing; all others are
/// computed again in backward.
struct OperatorSavePolicy {
  /// Qualified operator names without overload, e.g. `aten::mm`.
  std::set<std::string> save_list;
  /// (in, out) features of linear layers whose `aten::mm` is always computed again and not counted.
  std::set<std::pair<std::int64_t, std::int64_t>> recompute_mm_shapes;
  /// Operators whose results are kept wherever blocks are checkpointed at all.
  std::set<std::string> always_kept = {};
};

/// The reference's list for dense models: matrix products (every second one), attention kernels,
/// `max` (amax of fp8 scaling), reduce-scatter.
OperatorSavePolicy default_save_policy();

/// What is left of a policy where everything else is computed again.
OperatorSavePolicy only_always_kept(const OperatorSavePolicy& policy);

/// The modes of one checkpointed call under `policy`. Of the counted matrix products the 1st, 3rd,
/// 5th, ... are kept. Results that were copied from the device to the host are always kept.
SelectiveModes selective_modes(std::shared_ptr<const OperatorSavePolicy> policy);

}  // namespace titan::parallel
