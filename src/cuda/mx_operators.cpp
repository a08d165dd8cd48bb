// The operators of components/quantization/mx_operators.h on a GPU.
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <tuple>

#include "cuda/mx_kernels.h"
#include "cuda/number_type_of.h"

namespace titan::cuda {

namespace {

using at::Tensor;

bool is_aligned(const Tensor& x) {
  return reinterpret_cast<std::uintptr_t>(x.const_data_ptr()) % 16 == 0;
}

/// What a kernel reads.
struct Read {
  Tensor matrix;
  MXSource source;
};

Read read(const Tensor& given) {
  TORCH_CHECK(given.size(1) % kMXBlock == 0, "rows of ", given.size(1), " numbers are no blocks");
  // A transposed view is read as it lies; of anything else rows are.
  const bool is_view = given.stride(0) == 1 && given.stride(1) != 1;
  Tensor matrix = is_view ? given : given.contiguous();
  if (!is_view && !is_aligned(matrix)) matrix = matrix.clone();
  const MXSource source{matrix.size(0), matrix.size(1), is_view ? 1 : matrix.size(1),
                        is_view ? matrix.stride(1) : 1};
  return {matrix, source};
}

std::tuple<Tensor, Tensor> cast(const Tensor& given, std::int64_t rule) {
  const c10::cuda::CUDAGuard guard(given.device());
  const auto [matrix, source] = read(given);
  Tensor values = at::empty(matrix.sizes(), matrix.options().dtype(at::kFloat8_e4m3fn));
  const std::int64_t tiles = (source.rows + 127) / 128 * ((source.columns / kMXBlock + 3) / 4);
  const Tensor scales = at::zeros({tiles * 512}, matrix.options().dtype(at::kByte));
  C10_CUDA_CHECK(cast_to_mx(source, number_type_of(matrix), matrix.const_data_ptr(),
                            static_cast<MXScaleRule>(rule), values.mutable_data_ptr(),
                            scales.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()));
  return {values, scales.view(at::kFloat8_e8m0fnu)};
}

std::tuple<Tensor, Tensor> cast_by_group(const Tensor& given, const Tensor& ends,
                                         const Tensor& tiles_before, std::int64_t rule,
                                         bool of_rows, at::IntArrayRef sizes_of_scales) {
  const c10::cuda::CUDAGuard guard(given.device());
  TORCH_CHECK(ends.is_contiguous() && tiles_before.is_contiguous(), "groups lie apart");
  const auto [matrix, source] = read(given);
  Tensor values = at::empty(matrix.sizes(), matrix.options().dtype(at::kFloat8_e4m3fn));
  const Tensor scales = at::zeros(sizes_of_scales, matrix.options().dtype(at::kByte));
  const MXGroupTiles tiles{ends.const_data_ptr<std::int32_t>(),
                           tiles_before.const_data_ptr<std::int64_t>(),
                           ends.numel(),
                           of_rows,
                           source.rows,
                           source.columns / kMXBlock};
  C10_CUDA_CHECK(cast_to_mx_by_group(source, tiles, number_type_of(matrix), matrix.const_data_ptr(),
                                     static_cast<MXScaleRule>(rule), values.mutable_data_ptr(),
                                     scales.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()));
  return {values, scales.view(at::kFloat8_e8m0fnu)};
}

TORCH_LIBRARY_IMPL(titan, CUDA, library) {
  library.impl("cast_to_mx", &cast);
  library.impl("cast_to_mx_by_group", &cast_by_group);
}

}  // namespace

}  // namespace titan::cuda
