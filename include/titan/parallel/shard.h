#pragma once

#include <algorithm>
#include <cstdint>

namespace titan::parallel {

/// A contiguous part of a dimension.
struct Chunk {
  std::int64_t offset = 0;
  std::int64_t length = 0;
};

/// Rows that every rank but the last ones holds when `size` rows are cut for `ranks`, as torch.chunk
/// cuts: the rest goes without, down to nothing.
constexpr std::int64_t chunk_length(std::int64_t size, std::int64_t ranks) {
  return (size + ranks - 1) / ranks;
}

/// The rows of one rank.
constexpr Chunk chunk_of(std::int64_t size, std::int64_t ranks, std::int64_t rank) {
  const std::int64_t length = chunk_length(size, ranks);
  const std::int64_t offset = std::min(rank * length, size);
  return {offset, std::min(length, size - offset)};
}

}  // namespace titan::parallel
