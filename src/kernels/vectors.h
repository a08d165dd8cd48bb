#pragma once

#include <cstdint>
#include <cstring>

// For the files that are compiled once for each instruction set, in the namespace TITAN_ISA with TITAN_LANES
// floats a vector. They include nothing that has inline functions of its own: the linker may keep any copy of
// those, and only some processors can run all of them.

#ifndef TITAN_ISA
#define TITAN_ISA baseline
#define TITAN_LANES 4
#endif

namespace titan::kernels::TITAN_ISA {
namespace {

constexpr int kLanes = TITAN_LANES;
typedef float Floats __attribute__((vector_size(TITAN_LANES * 4)));
typedef std::int32_t Ints __attribute__((vector_size(TITAN_LANES * 4)));

inline Floats load(const float* from) {
  Floats result;
  std::memcpy(&result, from, sizeof(result));
  return result;
}
inline void store(float* to, Floats value) { std::memcpy(to, &value, sizeof(value)); }
inline Floats all(float value) { return value - Floats{}; }
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }

/// A number in bf16: the upper half of one in fp32.
enum class Bf16 : std::uint16_t {};
typedef std::uint16_t Halves __attribute__((vector_size(TITAN_LANES * 2)));

inline Floats load(const Bf16* from) {
  Halves result;
  std::memcpy(&result, from, sizeof(result));
  return __builtin_bit_cast(Floats, __builtin_convertvector(result, Ints) << 16);
}
/// To the nearest, of two to the even one, as LibTorch rounds.
inline void store(Bf16* to, Floats value) {
  const Ints bits = __builtin_bit_cast(Ints, value);
  const Ints rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  const Ints shown = value == value ? rounded : 0x7FC0 - Ints{};
  const Halves result = __builtin_convertvector(shown, Halves);
  std::memcpy(to, &result, sizeof(result));
}

/// The lanes' sum, always in the same order.
inline float sum(Floats value) {
  float result[kLanes];
  std::memcpy(result, &value, sizeof(value));
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) result[i] += result[i + half];
  }
  return result[0];
}

/// 2^x of what is at most 126, to 2e-7 of itself; 2^-100 for anything smaller than that; of a NaN that
/// arithmetic has made, NaN.
inline Floats exp2_of_small(Floats x) {
  x = x < -100.0F ? all(-100.0F) : x;
  const Floats rounder =
      all(12582912.0F);  // 1.5 x 2^23: the sum's last bits are x to the nearest integer
  const Floats shifted = x + rounder;
  const Floats f = x - (shifted - rounder);
  Floats p =
      all(1.5403530393381608e-4F);  // 2^f on [-1/2, 1/2]: Taylor's, whose error is 1e-7 there
  p = p * f + 1.3333558146428443e-3F;
  p = p * f + 9.618129107628477e-3F;
  p = p * f + 5.550410866482158e-2F;
  p = p * f + 2.402265069591007e-1F;
  p = p * f + 6.931471805599453e-1F;
  p = p * f + 1.0F;
  const Ints exponent = __builtin_bit_cast(Ints, shifted) << 23;
  return __builtin_bit_cast(Floats, __builtin_bit_cast(Ints, p) + exponent);
}

/// The same, and 2^126 for anything larger.
inline Floats exp2(Floats x) { return exp2_of_small(x > 126.0F ? all(126.0F) : x); }

}  // namespace
}  // namespace titan::kernels::TITAN_ISA
