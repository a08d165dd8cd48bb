#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/comm/process_group.h"

namespace titan::comm {

/// Byte strings of any lengths between the ranks of a group on the CPU. All ranks of it come with the
/// same `root`. Throws RunError as the group's collectives do.

/// Every rank's `bytes` in rank order, on `root`; nothing on the others.
std::vector<std::string> gather_bytes(ProcessGroup& group, const std::string& bytes,
                                      std::int64_t root = 0);

/// The one of `root`'s `parts`, one for each rank, that is this rank's. Others' parts are ignored.
std::string scatter_bytes(ProcessGroup& group, const std::vector<std::string>& parts,
                          std::int64_t root = 0);

/// `root`'s `bytes`, on all ranks.
std::string broadcast_bytes(ProcessGroup& group, const std::string& bytes, std::int64_t root = 0);

}  // namespace titan::comm
