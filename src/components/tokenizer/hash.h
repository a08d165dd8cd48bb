#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace titan::components {

/// Mixes all bits of `value` into all bits of the result (the finalizer of MurmurHash3).
inline std::uint64_t mix_bits(std::uint64_t value) {
  value ^= value >> 33;
  value *= 0xFF51AFD7ED558CCDu;
  value ^= value >> 33;
  value *= 0xC4CEB9FE1A85EC53u;
  return value ^ value >> 33;
}

/// A hash for short strings in our own tables; not stable across versions, not for hostile keys in
/// large numbers.
inline std::uint64_t hash_bytes(std::string_view bytes) {
  std::uint64_t hash = 0x9E3779B97F4A7C15u ^ bytes.size();
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    hash = mix_bits(hash ^ word);
  }
  std::uint64_t tail = 0;
  if (left > 0) std::memcpy(&tail, at, left);
  return mix_bits(hash ^ tail);
}

}  // namespace titan::components
