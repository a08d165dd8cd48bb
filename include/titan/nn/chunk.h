#pragma once

#include <algorithm>
#include <cstdint>

namespace titan::nn {

/// A contiguous part of a dimension.
struct Chunk {
  std::int64_t offset = 0;
  std::int64_t length = 0;
};

/// Length of every part but the last ones when `size` is cut into `parts`, as torch.chunk cuts: the rest goes without, down
/// to nothing.
constexpr std::int64_t chunk_length(std::int64_t size, std::int64_t parts) {
  return (size + parts - 1) / parts;
}

/// Part `index` of them.
constexpr Chunk chunk_of(std::int64_t size, std::int64_t parts, std::int64_t index) {
  const std::int64_t length = chunk_length(size, parts);
  const std::int64_t offset = std::min(index * length, size);
  return {offset, std::min(length, size - offset)};
}

}  // namespace titan::nn
