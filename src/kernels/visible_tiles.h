#pragma once

#include "kernels/visible.h"

// What a tile of queries sees of a tile of keys. For the files that are compiled for several processors (vectors.h): each has
// a copy of its own.

namespace titan::kernels {
namespace {

constexpr float kHidden = -1e30F;

enum class Sight { kNothing, kSome, kEverything };

[[maybe_unused]] inline std::int64_t smaller(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}

/// What the queries of a tile see of the keys of another.
[[maybe_unused]] inline Sight sight_of(const Visible& visible, std::int64_t query,
                                       std::int64_t queries, std::int64_t key, std::int64_t keys) {
  if (key > query + queries - 1 + visible.causal_offset) return Sight::kNothing;
  bool all_seen = key + keys - 1 <= query + visible.causal_offset;
  if (visible.allowed == nullptr) return all_seen ? Sight::kEverything : Sight::kSome;
  bool one_seen = false;
  for (std::int64_t i = 0; i < queries; ++i) {
    const std::uint8_t* row = visible.allowed + (query + i) * visible.allowed_stride + key;
    std::uint8_t any = 0;
    std::uint8_t every = 1;
    for (std::int64_t j = 0; j < keys; ++j) {
      any |= row[j];
      every &= row[j];
    }
    one_seen = one_seen || any != 0;
    all_seen = all_seen && every != 0;
  }
  if (!one_seen) return Sight::kNothing;
  return all_seen ? Sight::kEverything : Sight::kSome;
}

/// Writes kHidden over the scores [keys, kStride] of keys that a query does not see.
template <int kStride = kQueryTile>
[[maybe_unused]] inline void hide(const Visible& visible, std::int64_t query, std::int64_t queries,
                                  std::int64_t key, std::int64_t keys, float* scores) {
  for (std::int64_t j = 0; j < keys; ++j) {
    const std::int64_t first_seeing = key + j - visible.causal_offset - query;
    for (std::int64_t i = 0; i < smaller(first_seeing, kStride); ++i) {
      scores[j * kStride + i] = kHidden;
    }
  }
  if (visible.allowed == nullptr) return;
  for (std::int64_t i = 0; i < queries; ++i) {
    const std::uint8_t* row = visible.allowed + (query + i) * visible.allowed_stride + key;
    for (std::int64_t j = 0; j < keys; ++j) {
      if (row[j] == 0) scores[j * kStride + i] = kHidden;
    }
  }
}

}  // namespace
}  // namespace titan::kernels
