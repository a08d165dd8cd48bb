#include "components/quantization/rounding_rows.h"

#include <algorithm>
#include <bit>

namespace titan::components {

namespace {

constexpr std::uint32_t kMagnitude = 0x7fffffff;

float value_of(float number) { return number; }
float value_of(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// As whole numbers absolute values have the same order, and what is no number is larger than all.
template <class Number>
std::int32_t magnitude(Number number) {
  return static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(value_of(number)) & kMagnitude);
}

template <class Number>
float largest(const Number* numbers, std::int64_t count) {
  std::int32_t result = 0;
  for (std::int64_t i = 0; i < count; ++i) result = std::max(result, magnitude(numbers[i]));
  return std::bit_cast<float>(result);
}

template <class Number>
void larger(const Number* numbers, std::int64_t count, float* largest) {
  for (std::int64_t i = 0; i < count; ++i) {
    largest[i] = std::bit_cast<float>(
        std::max(std::bit_cast<std::int32_t>(largest[i]), magnitude(numbers[i])));
  }
}

/// To nearest, of two the even one. Both cases are computed, so that the compiler can do it for several numbers at once.
template <int mantissa_bits, int smallest_exponent>
float rounded(float x) {
  constexpr int kDropped = 23 - mantissa_bits;
  constexpr std::uint32_t kHalf = (1U << (kDropped - 1)) - 1;
  // Next to this number floats are as far apart as subnormal ones of the type.
  constexpr auto kRounder = std::bit_cast<float>(
      static_cast<std::uint32_t>(127 + 23 + smallest_exponent - mantissa_bits) << 23);
  constexpr auto kSmallest =
      std::bit_cast<float>(static_cast<std::uint32_t>(127 + smallest_exponent) << 23);
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t absolute = bits & kMagnitude;
  const std::uint32_t normal =
      (absolute + kHalf + ((absolute >> kDropped) & 1U)) & ~((1U << kDropped) - 1);
  const float subnormal = (std::bit_cast<float>(absolute) + kRounder) - kRounder;
  const std::uint32_t result =
      std::bit_cast<float>(absolute) < kSmallest ? std::bit_cast<std::uint32_t>(subnormal) : normal;
  return std::bit_cast<float>(result | (bits & ~kMagnitude));
}

/// What is no number stays none.
template <int mantissa_bits, int smallest_exponent>
float saturated(float x, float most) {
  const float clamped = x > most ? most : (x < -most ? -most : x);
  return x != x ? x : rounded<mantissa_bits, smallest_exponent>(clamped);
}

template <int mantissa_bits, int smallest_exponent, bool each, class Number>
void round_all(const Number* numbers, std::int64_t count, float most, const float* scales,
               float* results) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float scale = scales[each ? i : 0];
    results[i] =
        saturated<mantissa_bits, smallest_exponent>(value_of(numbers[i]) * scale, most) / scale;
  }
}

template <class Number>
void through(const Number* numbers, std::int64_t count, SmallFloat type, const float* scales,
             bool each, float* results) {
  if (type.mantissa_bits == 3) {
    each ? round_all<3, -6, true>(numbers, count, type.largest, scales, results)
         : round_all<3, -6, false>(numbers, count, type.largest, scales, results);
  } else {
    each ? round_all<2, -14, true>(numbers, count, type.largest, scales, results)
         : round_all<2, -14, false>(numbers, count, type.largest, scales, results);
  }
}

template <class Number>
void block(const Number* numbers, float inverse, float power, float* results) {
  for (std::int64_t i = 0; i < kBlockNumbers; ++i) {
    results[i] = saturated<3, -6>(value_of(numbers[i]) * inverse, kE4M3.largest) * power;
  }
}

}  // namespace

float largest_of(const float* numbers, std::int64_t count) { return largest(numbers, count); }
float largest_of(const std::uint16_t* numbers, std::int64_t count) {
  return largest(numbers, count);
}
void take_larger(const float* numbers, std::int64_t count, float* largest) {
  larger(numbers, count, largest);
}
void take_larger(const std::uint16_t* numbers, std::int64_t count, float* largest) {
  larger(numbers, count, largest);
}

void through_small_float(const float* numbers, std::int64_t count, SmallFloat type,
                         const float* scales, bool each, float* results) {
  through(numbers, count, type, scales, each, results);
}
void through_small_float(const std::uint16_t* numbers, std::int64_t count, SmallFloat type,
                         const float* scales, bool each, float* results) {
  through(numbers, count, type, scales, each, results);
}

void through_block(const float* numbers, float inverse, float power, float* results) {
  block(numbers, inverse, power, results);
}
void through_block(const std::uint16_t* numbers, float inverse, float power, float* results) {
  block(numbers, inverse, power, results);
}

}  // namespace titan::components
