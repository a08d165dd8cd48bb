#pragma once

namespace titan::cuda {

/// What the numbers are that a kernel is given a pointer to.
enum class NumberType { kBFloat16, kFloat };

}  // namespace titan::cuda
