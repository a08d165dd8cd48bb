#include "cuda/layer_kernels.h"

#include <algorithm>

#include "cuda/swiglu_arithmetic.h"

namespace titan::cuda {

namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMostBlocks = 1 << 16;  // each takes several packs, or tokens, in turn

unsigned blocks_for(std::int64_t work, std::int64_t of_block) {
  return static_cast<unsigned>(std::min((work + of_block - 1) / of_block, kMostBlocks));
}

bool is_aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

/// Calls `work(first number)` for every whole pack, and `rest(number)` for what is left.
template <int kWidth, class Work, class Rest>
__device__ void for_packs(std::int64_t count, const Work& work, const Rest& rest) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t packs = count / kWidth;
  for (std::int64_t i = thread; i < packs; i += step) work(i * kWidth);
  if (packs * kWidth + thread < count) rest(packs * kWidth + thread);
}

template <int kWidth, class Number>
__global__ void swiglu_kernel(const Number* a, const Number* b, std::int64_t count, Number* y) {
  for_packs<kWidth>(
      count, [=](std::int64_t first) { swiglu_pack<kWidth>(a, b, first, y); },
      [=](std::int64_t one) { swiglu_pack<1>(a, b, one, y); });
}

template <int kWidth, class Number>
__global__ void swiglu_backward_kernel(const Number* dy, const Number* a, const Number* b,
                                       std::int64_t count, Number* da, Number* db) {
  for_packs<kWidth>(
      count, [=](std::int64_t first) { swiglu_backward_pack<kWidth>(dy, a, b, first, da, db); },
      [=](std::int64_t one) { swiglu_backward_pack<1>(dy, a, b, one, da, db); });
}

template <class Number>
void launch_swiglu(const void* a, const void* b, std::int64_t count, void* y, cudaStream_t stream) {
  const auto* gates = static_cast<const Number*>(a);
  const auto* ups = static_cast<const Number*>(b);
  auto* to = static_cast<Number*>(y);
  if (is_aligned(a) && is_aligned(b) && is_aligned(y)) {
    constexpr int kWidth = kWidest<Number>;
    swiglu_kernel<kWidth>
        <<<blocks_for(count, kThreads * kWidth), kThreads, 0, stream>>>(gates, ups, count, to);
  } else {
    swiglu_kernel<1><<<blocks_for(count, kThreads), kThreads, 0, stream>>>(gates, ups, count, to);
  }
}

template <class Number>
void launch_swiglu_backward(const void* dy, const void* a, const void* b, std::int64_t count,
                            void* da, void* db, cudaStream_t stream) {
  const auto* slopes = static_cast<const Number*>(dy);
  const auto* gates = static_cast<const Number*>(a);
  const auto* ups = static_cast<const Number*>(b);
  auto* to_a = static_cast<Number*>(da);
  auto* to_b = static_cast<Number*>(db);
  const bool aligned =
      is_aligned(dy) && is_aligned(a) && is_aligned(b) && is_aligned(da) && is_aligned(db);
  if (aligned) {
    constexpr int kWidth = kWidest<Number>;
    swiglu_backward_kernel<kWidth><<<blocks_for(count, kThreads * kWidth), kThreads, 0, stream>>>(
        slopes, gates, ups, count, to_a, to_b);
  } else {
    swiglu_backward_kernel<1><<<blocks_for(count, kThreads), kThreads, 0, stream>>>(
        slopes, gates, ups, count, to_a, to_b);
  }
}

/// A block takes a token with all its heads at a time.
template <int kWidth, Pairs kPairs, class Number>
__global__ void rotate_kernel(Rotation r, const Number* x, Number* y) {
  constexpr bool kAdjacent = kPairs == Pairs::kAdjacent;
  const int parts = r.heads * ((kAdjacent ? r.dim : r.dim / 2) / kWidth);
  const std::int64_t tokens = r.batch * r.length;
  for (std::int64_t i = blockIdx.x; i < tokens; i += gridDim.x) {
    const Token token = token_at(r, i, kAdjacent ? r.dim : 2 * r.dim);
    for (int part = threadIdx.x; part < parts; part += blockDim.x) {
      if constexpr (kAdjacent) {
        rotate_pairs_part<kWidth>(r, token, part, x, y);
      } else {
        rotate_halves_part<kWidth>(r, token, part, x, y);
      }
    }
  }
}

template <class Number>
bool takes_packs(const Rotation& r, Pairs pairs, const void* x, const void* y) {
  constexpr int kWidth = kWidest<Number>;
  const int together = pairs == Pairs::kAdjacent ? r.dim : r.dim / 2;
  bool whole = together % kWidth == 0 && is_aligned(x) && is_aligned(y) && is_aligned(r.table);
  for (const Heads& heads : {r.x, r.y}) {
    whole = whole && heads.row_stride % kWidth == 0 && heads.token_stride % kWidth == 0 &&
            heads.head_stride % kWidth == 0;
  }
  return whole;
}

template <int kWidth, Pairs kPairs, class Number>
void launch_rotate(const Rotation& r, const Number* x, Number* y, cudaStream_t stream) {
  const int parts = r.heads * (r.dim / (kPairs == Pairs::kAdjacent ? 1 : 2) / kWidth);
  const int threads = std::min(kThreads, (parts + 31) / 32 * 32);
  rotate_kernel<kWidth, kPairs><<<blocks_for(r.batch * r.length, 1), threads, 0, stream>>>(r, x, y);
}

template <class Number>
void launch_rotate(const Rotation& r, Pairs pairs, const void* from, void* to,
                   cudaStream_t stream) {
  const auto* x = static_cast<const Number*>(from);
  auto* y = static_cast<Number*>(to);
  const bool packs = takes_packs<Number>(r, pairs, x, y);
  constexpr int kWidth = kWidest<Number>;
  if (pairs == Pairs::kAdjacent) {
    packs ? launch_rotate<kWidth, Pairs::kAdjacent>(r, x, y, stream)
          : launch_rotate<2, Pairs::kAdjacent>(r, x, y, stream);
  } else {
    packs ? launch_rotate<kWidth, Pairs::kHalves>(r, x, y, stream)
          : launch_rotate<1, Pairs::kHalves>(r, x, y, stream);
  }
}

}  // namespace

cudaError_t swiglu(NumberType type, const void* a, const void* b, std::int64_t count, void* y,
                   cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  type == NumberType::kFloat ? launch_swiglu<float>(a, b, count, y, stream)
                             : launch_swiglu<Bf16>(a, b, count, y, stream);
  return cudaGetLastError();
}

cudaError_t swiglu_backward(NumberType type, const void* dy, const void* a, const void* b,
                            std::int64_t count, void* da, void* db, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  type == NumberType::kFloat ? launch_swiglu_backward<float>(dy, a, b, count, da, db, stream)
                             : launch_swiglu_backward<Bf16>(dy, a, b, count, da, db, stream);
  return cudaGetLastError();
}

cudaError_t rotate(NumberType type, Pairs pairs, const Rotation& rotation, const void* x, void* y,
                   cudaStream_t stream) {
  if (rotation.batch * rotation.length * rotation.heads * rotation.dim == 0) return cudaSuccess;
  type == NumberType::kFloat ? launch_rotate<float>(rotation, pairs, x, y, stream)
                             : launch_rotate<Bf16>(rotation, pairs, x, y, stream);
  return cudaGetLastError();
}

}  // namespace titan::cuda
