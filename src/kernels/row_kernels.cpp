#include "kernels/row_kernels.h"

#include "kernels/vectors.h"

namespace titan::kernels::TITAN_ISA {
namespace {

constexpr float kLog2e = 1.4426950408889634F;
constexpr float kLn2 = 0.6931471805599453F;

/// Of the last, perhaps incomplete vector of a row what there is, filled up.
template <class Number>
inline Floats load_some(const Number* from, std::int64_t count, float fill) {
  Number numbers[kLanes] = {};
  for (int i = 0; i < kLanes; ++i) {
    if (i < count) numbers[i] = from[i];
  }
  Floats result = load(numbers);
  for (int i = 0; i < kLanes; ++i) result[i] = i < count ? result[i] : fill;
  return result;
}
template <class Number>
inline void store_some(Number* to, std::int64_t count, Floats value) {
  Number numbers[kLanes];
  store(numbers, value);
  for (int i = 0; i < kLanes; ++i) {
    if (i < count) to[i] = numbers[i];
  }
}

/// Of a row from `i` on what there is, at most a vector.
template <class Number>
inline Floats load_at(const Number* row, std::int64_t i, std::int64_t dim) {
  return i + kLanes <= dim ? load(row + i) : load_some(row + i, dim - i, 0);
}
template <class Number>
inline void store_at(Number* row, std::int64_t i, std::int64_t dim, Floats value) {
  if (i + kLanes <= dim) {
    store(row + i, value);
  } else {
    store_some(row + i, dim - i, value);
  }
}

template <class Number>
float sum_of_squares(const Number* x, std::int64_t dim) {
  Floats squares[4] = {};
  std::int64_t i = 0;
  for (; i + 4 * kLanes <= dim; i += 4 * kLanes) {
    for (int j = 0; j < 4; ++j) {
      const Floats value = load(x + i + j * kLanes);
      squares[j] += value * value;
    }
  }
  for (; i < dim; i += kLanes) {
    const Floats value = load_at(x, i, dim);
    squares[0] += value * value;
  }
  return sum((squares[0] + squares[1]) + (squares[2] + squares[3]));
}

template <class Number>
void add(const Number* a, const Number* b, std::int64_t dim, Number* to) {
  for (std::int64_t i = 0; i < dim; i += kLanes) {
    store_at(to, i, dim, load_at(a, i, dim) + load_at(b, i, dim));
  }
}

template <class Number, class Bits>
void rms_norm(const NormRows<Bits>& all) {
  const auto* weight = reinterpret_cast<const Number*>(all.weight);
  for (std::int64_t row = 0; row < all.rows; ++row) {
    const std::int64_t first = row * all.dim;
    const auto* x = reinterpret_cast<const Number*>(all.x + first);
    if (all.residual != nullptr) {
      auto* to = reinterpret_cast<Number*>(all.sum + first);
      add(x, reinterpret_cast<const Number*>(all.residual + first), all.dim, to);
      x = to;
    }
    const float mean = sum_of_squares(x, all.dim) / static_cast<float>(all.dim);
    const float factor = 1.0F / __builtin_sqrtf(mean + all.eps);
    all.factors[row] = factor;
    auto* y = reinterpret_cast<Number*>(all.y + first);
    for (std::int64_t i = 0; i < all.dim; i += kLanes) {
      store_at(y, i, all.dim, load_at(x, i, all.dim) * factor * load_at(weight, i, all.dim));
    }
  }
}

template <class Number, class Bits>
void rms_norm_backward(const NormRowsBackward<Bits>& all) {
  const std::int64_t dim = all.dim;
  const auto* weight = reinterpret_cast<const Number*>(all.weight);
  for (std::int64_t row = 0; row < all.rows; ++row) {
    const auto* dy = reinterpret_cast<const Number*>(all.dy + row * dim);
    const auto* x = reinterpret_cast<const Number*>(all.sum + row * dim);
    auto* dx = reinterpret_cast<Number*>(all.dx + row * dim);
    const float factor = all.factors[row];
    Floats products = {};
    for (std::int64_t i = 0; i < dim; i += kLanes) {
      const Floats slope = load_at(dy, i, dim);
      const Floats value = load_at(x, i, dim);
      products += slope * load_at(weight, i, dim) * value;
      store_at(all.dweight, i, dim, load_at(all.dweight, i, dim) + slope * value * factor);
    }
    const float pull = sum(products) * factor * factor * factor / static_cast<float>(dim);
    for (std::int64_t i = 0; i < dim; i += kLanes) {
      Floats slope =
          load_at(dy, i, dim) * load_at(weight, i, dim) * factor - load_at(x, i, dim) * pull;
      if (all.dsum != nullptr) {
        slope += load_at(reinterpret_cast<const Number*>(all.dsum + row * dim), i, dim);
      }
      store_at(dx, i, dim, slope);
    }
  }
}

/// Lanes of a vector in another order: each takes that of lane f(lane).
template <class Order>
inline Floats reordered(Floats x, const Order& order) {
  Ints lanes;
  for (int i = 0; i < kLanes; ++i) lanes[i] = order(i);
  return __builtin_shuffle(x, lanes);
}

template <class Number>
void rotate_pairs(const Number* x, std::int64_t stride, const float* table, std::int64_t heads,
                  std::int64_t dim, float direction, Number* y, std::int64_t y_stride) {
  Floats signs;
  for (int i = 0; i < kLanes; ++i) signs[i] = i % 2 == 0 ? -direction : direction;
  for (std::int64_t i = 0; i < dim; i += kLanes) {
    const std::int64_t count = dim - i;
    const bool is_whole = count >= kLanes;
    const Floats turns = is_whole ? load(table + i) : load_some(table + i, count, 0);
    const Floats cosines = reordered(turns, [](int lane) { return lane & ~1; });
    const Floats sines = signs * reordered(turns, [](int lane) { return lane | 1; });
    for (std::int64_t head = 0; head < heads; ++head) {
      const Number* from = x + head * stride + i;
      const Floats pairs = is_whole ? load(from) : load_some(from, count, 0);
      const Floats turned =
          pairs * cosines + reordered(pairs, [](int lane) { return lane ^ 1; }) * sines;
      Number* to = y + head * y_stride + i;
      if (is_whole) {
        store(to, turned);
      } else {
        store_some(to, count, turned);
      }
    }
  }
}

template <class Number>
void rotate_halves(const Number* x, std::int64_t stride, const float* table, std::int64_t heads,
                   std::int64_t dim, float direction, Number* y, std::int64_t y_stride) {
  const std::int64_t half = dim / 2;
  const bool back = direction < 0;
  for (std::int64_t i = 0; i < half; i += kLanes) {
    const Floats low_cosines = load_at(table, i, half);
    const Floats high_cosines = load_at(table + half, i, half);
    const Floats low_sines = load_at(table + dim, i, half);
    const Floats high_sines = load_at(table + dim + half, i, half);
    // Backward is the transposed: what came from the one goes to it.
    const Floats into_low = back ? high_sines : -low_sines;
    const Floats into_high = back ? -low_sines : high_sines;
    for (std::int64_t head = 0; head < heads; ++head) {
      const Floats low = load_at(x + head * stride, i, half);
      const Floats high = load_at(x + head * stride + half, i, half);
      store_at(y + head * y_stride, i, half, low * low_cosines + high * into_low);
      store_at(y + head * y_stride + half, i, half, high * high_cosines + low * into_high);
    }
  }
}

inline Floats sigmoid(Floats x) { return 1.0F / (1.0F + exp2(x * -kLog2e)); }

template <class Number>
void swiglu(const Number* a, const Number* b, std::int64_t count, Number* y) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Floats gate = load(a + i);
    store(y + i, gate * sigmoid(gate) * load(b + i));
  }
  if (i < count) {
    const Floats gate = load_some(a + i, count - i, 0);
    store_some(y + i, count - i, gate * sigmoid(gate) * load_some(b + i, count - i, 0));
  }
}

struct SwigluSlopes {
  Floats a;
  Floats b;
  Floats y;
};

inline SwigluSlopes slopes_of(Floats dy, Floats gate, Floats up) {
  const Floats open = sigmoid(gate);
  const Floats silu = gate * open;
  return {dy * up * (open + silu * (1.0F - open)), dy * silu, silu * up};
}

template <class Number>
void swiglu_backward(const Number* dy, const Number* a, const Number* b, std::int64_t count,
                     Number* da, Number* db, Number* y) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const SwigluSlopes slopes = slopes_of(load(dy + i), load(a + i), load(b + i));
    store(da + i, slopes.a);
    store(db + i, slopes.b);
    if (y != nullptr) store(y + i, slopes.y);
  }
  if (i < count) {
    const std::int64_t rest = count - i;
    const SwigluSlopes slopes =
        slopes_of(load_some(dy + i, rest, 0), load_some(a + i, rest, 0), load_some(b + i, rest, 0));
    store_some(da + i, rest, slopes.a);
    store_some(db + i, rest, slopes.b);
    if (y != nullptr) store_some(y + i, rest, slopes.y);
  }
}

float log_sum_exp(float* logits, std::int64_t count, bool gradient) {
  constexpr float kLowest = -3.4e38F;
  Floats most = all(kLowest);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) most = larger(load(logits + i), most);
  if (i < count) most = larger(load_some(logits + i, count - i, kLowest), most);
  float lanes[kLanes];
  store(lanes, most);
  float largest = lanes[0];
  for (int lane = 1; lane < kLanes; ++lane) largest = lanes[lane] > largest ? lanes[lane] : largest;
  const float offset = largest * kLog2e;
  Floats total = {};
  for (i = 0; i + kLanes <= count; i += kLanes) {
    const Floats value = load(logits + i);
    const Floats power = exp2(value * kLog2e - offset);
    total += power;
    if (gradient) store(logits + i, power);
  }
  if (i < count) {
    const Floats value = load_some(logits + i, count - i, kLowest);
    Floats power = exp2(value * kLog2e - offset);
    for (std::int64_t lane = count - i; lane < kLanes; ++lane) power[lane] = 0;
    total += power;
    if (gradient) store_some(logits + i, count - i, power);
  }
  const float sum_of_powers = sum(total);
  if (gradient) {
    const float factor = 1.0F / sum_of_powers;
    for (i = 0; i + kLanes <= count; i += kLanes) store(logits + i, load(logits + i) * factor);
    for (; i < count; ++i) logits[i] *= factor;
  }
  return largest + __builtin_log2f(sum_of_powers) * kLn2;
}

void scale(const float* x, float factor, std::int64_t count, float* to, bool adds) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const Floats scaled = load_at(x, i, count) * factor;
    store_at(to, i, count, adds ? load_at(to, i, count) + scaled : scaled);
  }
}

float product(const float* a, const float* b, std::int64_t count) {
  Floats products[2] = {};
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    products[0] += load(a + i) * load(b + i);
    products[1] += load(a + i + kLanes) * load(b + i + kLanes);
  }
  for (; i < count; i += kLanes) products[0] += load_at(a, i, count) * load_at(b, i, count);
  return sum(products[0] + products[1]);
}

}  // namespace

namespace {

Bf16* numbers(Bf16Bits* bits) { return reinterpret_cast<Bf16*>(bits); }
const Bf16* numbers(const Bf16Bits* bits) { return reinterpret_cast<const Bf16*>(bits); }

void rotate_pairs_bf16(const Bf16Bits* x, std::int64_t stride, const float* table,
                       std::int64_t heads, std::int64_t dim, float direction, Bf16Bits* y,
                       std::int64_t y_stride) {
  rotate_pairs(numbers(x), stride, table, heads, dim, direction, numbers(y), y_stride);
}
void rotate_halves_bf16(const Bf16Bits* x, std::int64_t stride, const float* table,
                        std::int64_t heads, std::int64_t dim, float direction, Bf16Bits* y,
                        std::int64_t y_stride) {
  rotate_halves(numbers(x), stride, table, heads, dim, direction, numbers(y), y_stride);
}
void swiglu_bf16(const Bf16Bits* a, const Bf16Bits* b, std::int64_t count, Bf16Bits* y) {
  swiglu(numbers(a), numbers(b), count, numbers(y));
}
void swiglu_backward_bf16(const Bf16Bits* dy, const Bf16Bits* a, const Bf16Bits* b,
                          std::int64_t count, Bf16Bits* da, Bf16Bits* db, Bf16Bits* y) {
  swiglu_backward(numbers(dy), numbers(a), numbers(b), count, numbers(da), numbers(db),
                  y == nullptr ? nullptr : numbers(y));
}

}  // namespace

extern const RowKernels row_kernels;  // or it would be this file's own
const RowKernels row_kernels = {
    {rms_norm<float, float>, rms_norm_backward<float, float>, rotate_pairs<float>,
     rotate_halves<float>, swiglu<float>, swiglu_backward<float>},
    {rms_norm<Bf16, Bf16Bits>, rms_norm_backward<Bf16, Bf16Bits>, rotate_pairs_bf16,
     rotate_halves_bf16, swiglu_bf16, swiglu_backward_bf16},
    log_sum_exp,
    scale,
    product};

}  // namespace titan::kernels::TITAN_ISA
