#pragma once

#include <cstdint>
#include <string>

namespace titan::watch {

enum class ProcessState { kUnknown, kRunning, kStopped, kGone };

/// What the kernel says of a process of this machine.
ProcessState process_state(std::int64_t pid);

/// Equal for two processes that see each other under their numbers; empty where unknown.
std::string machine_identity();

}  // namespace titan::watch
