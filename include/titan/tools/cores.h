#pragma once

#include <cstdint>
#include <string>

namespace titan::tools {

/// How many cores this process may keep busy, at least 1: those it may run on, and no more than the quota of its
/// control groups (a container's, a batch job's) is worth. `root` goes before the paths of the groups, for tests.
std::int64_t usable_cores(const std::string& root = "");

}  // namespace titan::tools
