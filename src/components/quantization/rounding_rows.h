#pragma once

#include <cstdint>

namespace titan::components {

// What emulated products round, one pass over memory each; without LibTorch's headers. Numbers are float, or
// bfloat16 as its 16 bits.

/// Of count numbers the largest absolute value; of what is no number, none.
float largest_of(const float* numbers, std::int64_t count);
float largest_of(const std::uint16_t* numbers, std::int64_t count);
/// `largest[i]` becomes the larger of itself and |numbers[i]|.
void take_larger(const float* numbers, std::int64_t count, float* largest);
void take_larger(const std::uint16_t* numbers, std::int64_t count, float* largest);

/// A number type of 8 bits.
struct SmallFloat {
  int mantissa_bits;
  int smallest_exponent;  // of normal numbers
  float largest;
};
constexpr SmallFloat kE4M3 = {3, -6, 448.0F};
constexpr SmallFloat kE5M2 = {2, -14, 57344.0F};

/// `results[i]` becomes what is left of numbers[i] when numbers[i] * scale is rounded to `type`, to nearest and at most to its
/// largest: that / scale. The scale is `scales[0]`, or, with `each`, `scales[i]`.
void through_small_float(const float* numbers, std::int64_t count, SmallFloat type,
                         const float* scales, bool each, float* results);
void through_small_float(const std::uint16_t* numbers, std::int64_t count, SmallFloat type,
                         const float* scales, bool each, float* results);

/// Numbers of a block that shares a power of two.
constexpr std::int64_t kBlockNumbers = 32;
/// What is left of a block that is rounded to e4m3 behind a multiplication by `inverse`, times `power`.
void through_block(const float* numbers, float inverse, float power, float* results);
void through_block(const std::uint16_t* numbers, float inverse, float power, float* results);

}  // namespace titan::components
