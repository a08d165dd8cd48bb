#include "cuda/cross_entropy_kernels.h"

#include <algorithm>
#include <type_traits>

#include "cuda/cross_entropy_arithmetic.h"

namespace titan::cuda {

namespace {

template <int kWidth, class Number>
__global__ void __launch_bounds__(kRowThreads)
    log_sum_exp_kernel(LogitRows rows, const Number* logits, float* lse, float* chosen) {
  __shared__ PowerSum partial[kRowThreads];
  for (std::int64_t row = blockIdx.x; row < rows.rows; row += gridDim.x) {
    const Number* numbers = logits + row * rows.count;
    const float result = RowSum(partial).log_sum_exp<kWidth>(numbers, rows.count);
    if (threadIdx.x == 0) {
      const std::int64_t place =
          place_of(rows.labels[row], rows.ignore_index, rows.offset, rows.count);
      lse[row] = result;
      chosen[row] = place < 0 ? 0.0F : to_float(numbers[place]);
    }
    __syncthreads();  // all have read the result before the next row's is made
  }
}

template <int kWidth, class Number>
__global__ void __launch_bounds__(kRowThreads)
    gradient_kernel(LogitRows rows, Number* logits, const float* lse) {
  for (std::int64_t row = blockIdx.x; row < rows.rows; row += gridDim.x) {
    const std::int64_t label = rows.labels[row];
    const bool trained = label != rows.ignore_index;
    const std::int64_t place = place_of(label, rows.ignore_index, rows.offset, rows.count);
    const float of_row = lse[row];
    for (std::int64_t first = static_cast<std::int64_t>(threadIdx.x) * kWidth; first < rows.count;
         first += static_cast<std::int64_t>(kRowThreads) * kWidth) {
      gradient_pack<kWidth>(logits + row * rows.count, first, of_row, place, trained);
    }
  }
}

/// Calls `work(number, width)`, of types that say what rows are made of.
template <class Number, class Work>
void with_packs(const LogitRows& rows, const void* logits, const Work& work) {
  constexpr int kWidth = kWidest<Number>;
  const bool whole =
      rows.count % kWidth == 0 && reinterpret_cast<std::uintptr_t>(logits) % sizeof(int4) == 0;
  whole ? work(Number(), std::integral_constant<int, kWidth>())
        : work(Number(), std::integral_constant<int, 1>());
}

template <class Work>
cudaError_t launch(const LogitRows& rows, const void* logits, const Work& work) {
  if (rows.rows == 0) return cudaSuccess;
  rows.type == NumberType::kFloat ? with_packs<float>(rows, logits, work)
                                  : with_packs<Bf16>(rows, logits, work);
  return cudaGetLastError();
}

unsigned blocks_for(const LogitRows& rows) {
  return static_cast<unsigned>(std::min<std::int64_t>(rows.rows, 1 << 16));
}

}  // namespace

cudaError_t log_sum_exps(const LogitRows& rows, const void* logits, float* lse, float* chosen,
                         cudaStream_t stream) {
  return launch(rows, logits, [&](auto number, auto width) {
    log_sum_exp_kernel<decltype(width)::value><<<blocks_for(rows), kRowThreads, 0, stream>>>(
        rows, static_cast<const decltype(number)*>(logits), lse, chosen);
  });
}

cudaError_t logits_to_gradient(const LogitRows& rows, const float* lse, void* logits,
                               cudaStream_t stream) {
  return launch(rows, logits, [&](auto number, auto width) {
    gradient_kernel<decltype(width)::value><<<blocks_for(rows), kRowThreads, 0, stream>>>(
        rows, static_cast<decltype(number)*>(logits), lse);
  });
}

}  // namespace titan::cuda
