#pragma once

#include <cstdint>

namespace titan::base {

/// A well-mixed function of a number, the same everywhere: the finalizer of SplitMix64 (Steele, Lea,
/// Flood 2014). Positions in checkpoints rely on it.
constexpr std::uint64_t mix_bits(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace titan::base
