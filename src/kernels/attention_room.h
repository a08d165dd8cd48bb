#pragma once

#include <cstdint>

#include "kernels/attention_head.h"
#include "kernels/visible_tiles.h"

// What attention on a unit for tiles has in both types: how its room is cut, and what backward prepares of a head. In no namespace
// that files share: they are compiled for processors that others are not.

namespace titan::kernels {
namespace {

constexpr float kLog2e = 1.4426950408889634F;

/// Cuts a room into parts; without one, only says how large it must be.
class Cutter {
 public:
  explicit Cutter(std::uint8_t* room) : room_(room) {}
  std::uint8_t* bytes(std::int64_t count) {
    std::uint8_t* const result = room_ == nullptr ? nullptr : room_ + used_;
    used_ += (count + 63) / 64 * 64;
    return result;
  }
  float* floats(std::int64_t count) {
    return reinterpret_cast<float*>(bytes(count * static_cast<std::int64_t>(sizeof(float))));
  }
  std::int64_t used() const { return used_; }

 private:
  std::uint8_t* room_;
  std::int64_t used_ = 0;
};

/// The processor does not foresee strides as long as those between a head's rows.
constexpr std::int64_t kRowsAhead = 16;

/// Of `padded` queries, lse (to the base 2) and what slopes are less by: gradient times output, less what comes through the lse.
/// `product(a, b, count)` is that of two rows.
template <class Number, class Product>
[[maybe_unused]] void prepare_slopes(const HeadShape& shape, const QueryHead<Number>& head,
                                     std::int64_t padded, const Product& product, float* lse,
                                     float* delta) {
  for (std::int64_t i = 0; i < padded; ++i) {
    // Of a query that is not there or sees nothing, every weight becomes 0.
    const bool is_blind = i >= shape.queries || head.lse[i] < kHidden;
    lse[i] = is_blind ? -kHidden : head.lse[i] * kLog2e;
    delta[i] = 0;
    if (i >= shape.queries) continue;
    // The gradient has been packed just before.
    __builtin_prefetch(head.output.data + (i + kRowsAhead) * head.output.stride, 0, 2);
    delta[i] = product(head.gradient.data + i * head.gradient.stride,
                       head.output.data + i * head.output.stride, shape.value_dim);
    if (head.lse_gradient != nullptr) delta[i] -= head.lse_gradient[i];
  }
}

}  // namespace
}  // namespace titan::kernels
