#pragma once

#include <cstdint>

namespace titan::text {

/// A pseudo-random order of 0 ... n-1 that takes no memory: a Feistel network over the next even
/// number of bits, walked until it lands inside (Black and Rogaway 2002, "Ciphers with arbitrary
/// finite domains"). The same everywhere for the same seed.
class IndexPermutation {
 public:
  IndexPermutation(std::int64_t count, std::uint64_t seed);
  /// The index that comes at place `place` of the order, in [0, count).
  std::int64_t operator()(std::int64_t place) const;

 private:
  std::uint64_t encrypt(std::uint64_t value) const;

  std::uint64_t count_;
  std::uint64_t seed_;
  int half_bits_;
};

}  // namespace titan::text
