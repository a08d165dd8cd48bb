#pragma once

#include <cstdint>
#include <string>

namespace titan::tools {

/// The largest number of bytes where there is no limit.
constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

/// What the control groups of this process, of either version, and those around them let it have in
/// memory; in a container that is the container's limit. `root` goes before every path that is read,
/// for tests.
std::uint64_t cgroup_memory_limit(const std::string& root = "");

/// `ulimit -v`: what may be mapped in all, touched or not.
std::uint64_t address_space_limit();

}  // namespace titan::tools
