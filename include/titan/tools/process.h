#pragma once

#include <cstdint>

namespace titan::tools {

/// The most physical memory this process has held since it began, in bytes; 0 when unknown.
std::uint64_t peak_resident_bytes();

/// The physical memory this process holds now, in bytes; 0 when unknown.
std::uint64_t resident_bytes();

/// The machine's physical memory in bytes.
std::uint64_t total_memory_bytes();

/// Seconds since the kernel started this process, so that loading of shared libraries before
/// `main` counts too. Counts from TITAN_EXEC_TIME (seconds since 1970) when that is later: a script
/// that became this program sets it. Resolution 10 ms; 0 when unknown.
double process_age_seconds();

}  // namespace titan::tools
