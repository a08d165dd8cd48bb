#pragma once

#include <span>
#include <string>

namespace titan::app {

/// Has this process start once more, with the same arguments, where its C library would manage memory as small programs like it: what
/// a step frees would go back to the system and be handed out again page by page, 4 KiB each, in every step. Returns where
/// it did so already, where GLIBC_TUNABLES is set, and where the system will not.
void restart_with_a_heap_for_tensors(std::span<const std::string> args);

}  // namespace titan::app
