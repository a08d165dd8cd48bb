#pragma once

#include <cstdint>

namespace titan::kernels {

/// What a thread's room is for; those that are in use together differ.
enum class Room { kAttention, kLeftFactor, kRightFactor };

/// At least so many bytes of this thread, on a cache line's boundary, kept from call to call; what was in them may be lost.
std::uint8_t* thread_room(Room room, std::int64_t bytes);

}  // namespace titan::kernels
