#include "titan/components/quantization/mx.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ceil.h>
#include <ATen/ops/exp2.h>
#include <ATen/ops/log2.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/where.h>

#include <limits>

namespace titan::components {

namespace {

constexpr double kLargest = 448.0;   // of e4m3
constexpr int kLargestExponent = 8;  // floor(log2(448))
constexpr int kBias = 127;
constexpr int kNaN = 255;

/// By the bits of the largest: of a subnormal one the exponent is -127.
at::Tensor floor_exponents(const at::Tensor& largest) {
  const at::Tensor bits = largest.view(at::kInt);
  const at::Tensor exponent =
      bits.bitwise_right_shift(23).bitwise_and(0xff) - (kBias + kLargestExponent);
  return (exponent.clamp(-kBias, kBias + 1) + kBias).masked_fill(largest.isnan(), kNaN);
}

at::Tensor rceil_exponents(const at::Tensor& largest) {
  const at::Tensor needed = largest / kLargest;
  const at::Tensor exponent = at::ceil(at::log2(needed)).clamp(-kBias, kBias) + kBias;
  return exponent.masked_fill(needed.isnan(), kNaN).nan_to_num(0.0).to(at::kInt);
}

}  // namespace

at::Tensor mx_exponents(const at::Tensor& largest, MXScaling scaling) {
  return scaling == MXScaling::kFloor ? floor_exponents(largest) : rceil_exponents(largest);
}

MXTensor to_mx(const at::Tensor& x, MXScaling scaling) {
  auto blocks = x.sizes().vec();
  blocks.back() /= kMXBlock;
  blocks.push_back(kMXBlock);
  const at::Tensor of_blocks = x.reshape(blocks);
  const at::Tensor largest = of_blocks.abs().amax(-1, /*keepdim=*/true).to(at::kFloat);
  const at::Tensor exponents = mx_exponents(largest, scaling);
  at::Tensor scaled;
  if (scaling == MXScaling::kFloor) {
    // The smallest power of two that is no subnormal number.
    const at::Tensor scale = exponents.bitwise_left_shift(23)
                                 .view(at::kFloat)
                                 .clamp_min(std::numeric_limits<float>::min());
    scaled = of_blocks.to(at::kFloat) / scale;
  } else {
    const at::Tensor inverse =
        at::exp2(kBias - exponents.to(at::kFloat)).masked_fill(exponents == 0, 1.0);
    scaled = of_blocks.to(at::kFloat) * inverse;
  }
  return {scaled.clamp_(-kLargest, kLargest).to(at::kFloat8_e4m3fn).reshape(x.sizes()),
          exponents.squeeze(-1).to(at::kByte)};
}

at::Tensor MXTensor::dequantized(at::ScalarType type) const {
  const at::Tensor power =
      at::pow(2.0, exponents.to(at::kFloat) - kBias)
          .masked_fill(exponents == kNaN, std::numeric_limits<double>::quiet_NaN());
  const at::Tensor blocks = values.to(type).reshape({-1, kMXBlock});
  return (blocks * power.reshape({-1, 1}).to(type)).reshape(values.sizes());
}

}  // namespace titan::components
