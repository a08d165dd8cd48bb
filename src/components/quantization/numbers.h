#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace titan::components {

/// Calls `work(pointer to the numbers)` with float or the 16 bits of bfloat16.
template <class Work>
void on_numbers(const at::Tensor& contiguous, const Work& work) {
  TORCH_CHECK(contiguous.scalar_type() == at::kFloat || contiguous.scalar_type() == at::kBFloat16,
              "low precision is made of bfloat16 or float32, not ", contiguous.scalar_type());
  if (contiguous.scalar_type() == at::kFloat) {
    work(contiguous.const_data_ptr<float>());
  } else {
    work(static_cast<const std::uint16_t*>(contiguous.const_data_ptr()));
  }
}

/// Whether rows of what is given are columns in memory.
inline bool is_transposed(const at::Tensor& matrix) {
  return !matrix.is_contiguous() && matrix.t().is_contiguous();
}

}  // namespace titan::components
