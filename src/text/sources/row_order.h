#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/mix_bits.h"

namespace titan::text {

/// A stream of pseudo-random numbers: SplitMix64 (Steele, Lea, Flood 2014).
class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    const std::uint64_t number = base::mix_bits(state_);
    state_ += 0x9e3779b97f4a7c15;
    return number;
  }
  /// Evenly distributed in [0, bound): draws again where the highest numbers would favour some.
  std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t uneven = (0 - bound) % bound;  // 2^64 modulo bound
    std::uint64_t number;
    do {
      number = next();
    } while (number < uneven);
    return number % bound;
  }

 private:
  std::uint64_t state_;
};

/// Hands out the rows of a unit as they come or, with a seed, shuffled in groups of 4 MiB: rows are
/// taken until they have that many bytes, and come in the order that Fisher and Yates's method
/// gives (for i from the last down to 1: swap i with one of 0 ... i) with SplitMix64, seeded by
/// seed, unit and number of the group. So an order is a function of the seed and the unit alone.
///
/// `Row` is a default-constructible type with `std::size_t bytes() const`.
template <class Row>
class RowOrder {
 public:
  static constexpr std::size_t kGroupBytes = 4 << 20;
  /// Added to the bytes of every row, so that a group of tiny rows is not large either.
  static constexpr std::size_t kBytesPerRow = 64;

  /// Begins with the first row of a unit.
  void begin(std::int64_t unit, std::optional<std::uint64_t> seed) {
    unit_ = unit;
    seed_ = seed;
    group_ = 0;
    at_ = count_ = 0;
  }

  /// The next row, good until the next call; nullptr at the unit's end. `read(Row&)` fills the next
  /// row of the unit and returns whether there was one.
  template <class Read>
  Row* next(const Read& read) {
    if (at_ == count_ && !fill(read)) return nullptr;
    return &rows_[order_[at_++]];
  }

  /// Passes over `count` rows. Returns how many there were.
  template <class Read>
  std::int64_t skip(std::int64_t count, const Read& read) {
    std::int64_t skipped = 0;
    while (skipped < count) {
      if (at_ == count_ && !fill(read)) break;
      const auto step = std::min(count - skipped, static_cast<std::int64_t>(count_ - at_));
      at_ += static_cast<std::size_t>(step);
      skipped += step;
    }
    return skipped;
  }

 private:
  template <class Read>
  bool fill(const Read& read) {
    at_ = count_ = 0;
    if (seed_) rows_.clear();  // else each place would keep the memory of its longest row ever
    for (std::size_t bytes = 0; bytes < kGroupBytes;) {
      if (count_ == rows_.size()) rows_.emplace_back();
      if (!read(rows_[count_])) break;
      bytes += rows_[count_].bytes() + kBytesPerRow;
      ++count_;
      if (!seed_) break;
    }
    shuffle();
    return count_ > 0;
  }

  void shuffle() {
    order_.resize(count_);
    for (std::size_t i = 0; i < count_; ++i) order_[i] = i;
    if (!seed_) return;
    const std::uint64_t place = base::mix_bits(static_cast<std::uint64_t>(unit_)) + group_++;
    SplitMix64 random(base::mix_bits(*seed_ + base::mix_bits(place)));
    for (std::size_t i = count_; i > 1; --i) std::swap(order_[i - 1], order_[random.below(i)]);
  }

  std::int64_t unit_ = 0;
  std::optional<std::uint64_t> seed_;
  std::uint64_t group_ = 0;         // the next one to be read
  std::vector<Row> rows_;           // reused; the first count_ are the group
  std::vector<std::size_t> order_;  // of the group
  std::size_t count_ = 0;
  std::size_t at_ = 0;  // in order_
};

}  // namespace titan::text
