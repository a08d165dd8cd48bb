#pragma once

#include "cuda/portable.h"

namespace titan::cuda {

TITAN_PORTABLE inline float sigmoid(float x) {
  constexpr float kLog2e = 1.4426950408889634F;
  return 1.0F / (1.0F + exp2f(x * -kLog2e));
}

/// y = silu(a) · b of a pack, whose first number is number `first`.
template <int kWidth, class Number>
TITAN_PORTABLE void swiglu_pack(const Number* a, const Number* b, std::int64_t first, Number* y) {
  const auto gates = pack_at<kWidth>(a + first);
  const auto ups = pack_at<kWidth>(b + first);
  Pack<Number, kWidth> result;
  for (int i = 0; i < kWidth; ++i) {
    const float gate = to_float(gates.values[i]);
    store(result.values[i], gate * sigmoid(gate) * to_float(ups.values[i]));
  }
  pack_at<kWidth>(y + first) = result;
}

template <int kWidth, class Number>
TITAN_PORTABLE void swiglu_backward_pack(const Number* dy, const Number* a, const Number* b,
                                         std::int64_t first, Number* da, Number* db) {
  const auto slopes = pack_at<kWidth>(dy + first);
  const auto gates = pack_at<kWidth>(a + first);
  const auto ups = pack_at<kWidth>(b + first);
  Pack<Number, kWidth> by_gate;
  Pack<Number, kWidth> by_up;
  for (int i = 0; i < kWidth; ++i) {
    const float slope = to_float(slopes.values[i]);
    const float gate = to_float(gates.values[i]);
    const float open = sigmoid(gate);
    const float silu = gate * open;
    store(by_gate.values[i], slope * to_float(ups.values[i]) * (open + silu * (1.0F - open)));
    store(by_up.values[i], slope * silu);
  }
  pack_at<kWidth>(da + first) = by_gate;
  pack_at<kWidth>(db + first) = by_up;
}

}  // namespace titan::cuda
