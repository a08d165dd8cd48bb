#pragma once

namespace titan::components {

/// What shares a scale.
enum class Granularity {
  kTensor,
  kRow,     // entries along the last dimension: scale `[rows, 1]`
  kColumn,  // entries along the first dimension: scale `[1, columns]`
};

}  // namespace titan::components
