#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "titan/base/mix_bits.h"

namespace titan::text {

/// A hash for short strings in our own tables; not stable across versions, not for hostile keys in
/// large numbers.
inline std::uint64_t hash_bytes(std::string_view bytes) {
  std::uint64_t hash = 0x9E3779B97F4A7C15u ^ bytes.size();
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    hash = base::mix_bits(hash ^ word);
  }
  std::uint64_t tail = 0;
  if (left > 0) std::memcpy(&tail, at, left);
  return base::mix_bits(hash ^ tail);
}

}  // namespace titan::text
