#pragma once

#include <cstdint>

#include "kernels/visible.h"

namespace titan::kernels {

// What attention on a processor's unit for tiles is asked for, in bf16 (attention_bf16_tiles.h) and in fp32
// (attention_split_tiles.h).

/// Rows of numbers, `stride` numbers apart.
template <class Number>
struct Rows {
  const Number* data = nullptr;
  std::int64_t stride = 0;
};

template <class Number>
struct ResultRows {
  Number* data = nullptr;
  std::int64_t stride = 0;
};

/// How many there are, and what a query sees.
struct HeadShape {
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  std::int64_t dim = 0;        // of queries and keys
  std::int64_t value_dim = 0;  // of values
  float scale = 1;
  Visible visible;
};

/// One query head in backward.
template <class Number>
struct QueryHead {
  Rows<Number> queries;
  Rows<Number> output;
  Rows<Number> gradient;
  const float* lse = nullptr;           // [queries]
  const float* lse_gradient = nullptr;  // the same; null: zeros
  ResultRows<Number> dq;                // [queries, dim]
};

}  // namespace titan::kernels
