#include "text/data/index_permutation.h"

#include <algorithm>
#include <bit>

#include "titan/base/errors.h"
#include "titan/base/mix_bits.h"

namespace titan::text {
namespace {

using base::mix_bits;

constexpr int kRounds = 6;

}  // namespace

IndexPermutation::IndexPermutation(std::int64_t count, std::uint64_t seed)
    : count_(static_cast<std::uint64_t>(count)), seed_(mix_bits(seed)) {
  TITAN_CHECK(count > 0, "nothing to permute");
  const int bits = std::max(2, static_cast<int>(std::bit_width(count_ - 1)));
  half_bits_ = (bits + 1) / 2;
}

std::int64_t IndexPermutation::operator()(std::int64_t place) const {
  auto value = static_cast<std::uint64_t>(place);
  TITAN_CHECK(place >= 0 && value < count_, "place ", place, " of ", count_);
  do {
    value = encrypt(value);
  } while (value >= count_);
  return static_cast<std::int64_t>(value);
}

std::uint64_t IndexPermutation::encrypt(std::uint64_t value) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t left = value >> half_bits_;
  std::uint64_t right = value & mask;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    const std::uint64_t mixed = mix_bits(seed_ ^ mix_bits(right + (round << 40)));
    const std::uint64_t next = (left ^ mixed) & mask;
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

}  // namespace titan::text
