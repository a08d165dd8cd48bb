#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#define TITAN_PORTABLE __host__ __device__
#else
#define TITAN_PORTABLE
#endif

namespace titan::cuda {

// What kernels compute, as functions that nvcc compiles for a GPU and any compiler for a CPU, where tests run them.
// Without LibTorch's headers.

/// A number in bf16: the upper half of one in fp32.
struct Bf16 {
  std::uint16_t bits;
};

TITAN_PORTABLE inline float to_float(float x) { return x; }
TITAN_PORTABLE inline float to_float(Bf16 x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}

TITAN_PORTABLE inline void store(float& to, float x) { to = x; }
/// To the nearest, of two to the even one.
TITAN_PORTABLE inline void store(Bf16& to, float x) {
#ifdef __CUDA_ARCH__
  to.bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
#else
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const std::uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  to.bits = static_cast<std::uint16_t>(x == x ? rounded : 0x7FC0);
#endif
}

/// Numbers of 16 bytes: the most that a thread of a GPU moves with one instruction.
template <class Number>
constexpr int kWidest = 16 / sizeof(Number);

/// Neighbours that a thread loads and stores together: the widest pack at once, which has to lie at whole packs; others
/// number by number.
template <class Number, int kWidth>
struct alignas(kWidth == kWidest<Number> ? 16 : alignof(Number)) Pack {
  Number values[kWidth];
};

template <int kWidth, class Number>
TITAN_PORTABLE const Pack<Number, kWidth>& pack_at(const Number* numbers) {
  return *reinterpret_cast<const Pack<Number, kWidth>*>(numbers);
}
template <int kWidth, class Number>
TITAN_PORTABLE Pack<Number, kWidth>& pack_at(Number* numbers) {
  return *reinterpret_cast<Pack<Number, kWidth>*>(numbers);
}

}  // namespace titan::cuda
