// The operators of components/quantization/float8_cast.h on a GPU.
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "cuda/float8_kernels.h"
#include "cuda/number_type_of.h"

namespace titan::cuda {

namespace {

Float8Type type_of(at::ScalarType type) {
  return type == at::kFloat8_e5m2 ? Float8Type::kE5m2 : Float8Type::kE4m3;
}

at::Tensor scales(const at::Tensor& largest, at::ScalarType type, bool power_of_two) {
  const c10::cuda::CUDAGuard guard(largest.device());
  const at::Tensor entries = largest.contiguous();
  at::Tensor result = at::empty(entries.sizes(), entries.options().dtype(at::kFloat));
  C10_CUDA_CHECK(float8_scales(entries.const_data_ptr(), number_type_of(entries),
                               result.mutable_data_ptr<float>(), entries.numel(), type_of(type),
                               power_of_two, c10::cuda::getCurrentCUDAStream()));
  return result;
}

at::Tensor cast(const at::Tensor& matrix, const at::Tensor& scale, at::ScalarType type,
                bool by_column) {
  const c10::cuda::CUDAGuard guard(matrix.device());
  // A transposed view is read as the matrix that it is a view of.
  const bool is_view = matrix.stride(0) == 1 && matrix.stride(1) != 1;
  const at::Tensor rows = is_view ? matrix.t().contiguous() : matrix.contiguous();
  const at::Tensor scales = scale.contiguous();
  Float8Source source{rows.const_data_ptr(), number_type_of(rows), rows.size(0), rows.size(1),
                      scales.const_data_ptr<float>()};
  if (scales.dim() == 2) {
    const bool for_rows = (scales.size(1) == 1) != is_view;
    (for_rows ? source.scale_row_stride : source.scale_column_stride) = 1;
  }
  const bool transposed = by_column != is_view;
  const auto options = rows.options().dtype(type);
  at::Tensor result = transposed ? at::empty({rows.size(1), rows.size(0)}, options)
                                 : at::empty(rows.sizes(), options);
  C10_CUDA_CHECK(cast_to_float8(source, result.mutable_data_ptr(), type_of(type), transposed,
                                c10::cuda::getCurrentCUDAStream()));
  return by_column ? result.t() : result;
}

TORCH_LIBRARY_IMPL(titan, CUDA, library) {
  library.impl("float8_scales", &scales);
  library.impl("cast_to_float8", &cast);
}

}  // namespace

}  // namespace titan::cuda
