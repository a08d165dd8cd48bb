#pragma once

#include <cstdint>

namespace titan::tools {

/// The most physical memory this process has held since it began, in bytes; 0 when unknown.
std::uint64_t peak_resident_bytes();

/// The physical memory this process holds now, in bytes; 0 when unknown.
std::uint64_t resident_bytes();

/// The memory that this process may have, in bytes: the least of the machine's, what its control groups
/// (a container's, a batch job's) allow, and `ulimit -v`.
std::uint64_t total_memory_bytes();

/// What is left of it to this process, as far as it is in use by itself.
std::uint64_t unused_memory_bytes();

/// Seconds since the kernel started this process, so that loading of shared libraries before
/// `main` counts too. Counts from TITAN_EXEC_TIME (seconds since 1970) when that is later: a script
/// that became this program sets it. Resolution 10 ms; 0 when unknown.
double process_age_seconds();

}  // namespace titan::tools
