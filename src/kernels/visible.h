#pragma once

#include <cstdint>

namespace titan::kernels {

/// Queries that are handled together.
constexpr int kQueryTile = 64;

/// Which keys a query sees, beside a query's own place in the tiles.
struct Visible {
  /// Query i sees keys up to i + `causal_offset`; kNotCausal: all.
  std::int64_t causal_offset = 0;
  /// Bytes `[queries, keys]`, not 0 where a query sees a key; null: nothing more is hidden.
  const std::uint8_t* allowed = nullptr;
  std::int64_t allowed_stride = 0;  // between queries
};
constexpr std::int64_t kNotCausal = std::int64_t{1} << 40;

}  // namespace titan::kernels
