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

void rms_norm(const float* x, const float* weight, std::int64_t rows, std::int64_t dim, float eps,
              float* y, float* factors) {
  for (std::int64_t row = 0; row < rows; ++row, x += dim, y += dim) {
    Floats squares[4] = {};
    std::int64_t i = 0;
    for (; i + 4 * kLanes <= dim; i += 4 * kLanes) {
      for (int j = 0; j < 4; ++j) {
        const Floats value = load(x + i + j * kLanes);
        squares[j] += value * value;
      }
    }
    for (; i < dim; i += kLanes) {
      const Floats value = load_some(x + i, dim - i, 0);
      squares[0] += value * value;
    }
    const float mean =
        sum((squares[0] + squares[1]) + (squares[2] + squares[3])) / static_cast<float>(dim);
    const float factor = 1.0F / __builtin_sqrtf(mean + eps);
    factors[row] = factor;
    for (i = 0; i + kLanes <= dim; i += kLanes) {
      store(y + i, load(x + i) * factor * load(weight + i));
    }
    if (i < dim) {
      store_some(y + i, dim - i,
                 load_some(x + i, dim - i, 0) * factor * load_some(weight + i, dim - i, 0));
    }
  }
}

void rms_norm_backward(const float* dy, const float* x, const float* weight, const float* factors,
                       std::int64_t rows, std::int64_t dim, float* dx, float* dweight) {
  for (std::int64_t row = 0; row < rows; ++row, dy += dim, x += dim, dx += dim) {
    const float factor = factors[row];
    Floats products = {};
    std::int64_t i = 0;
    for (; i + kLanes <= dim; i += kLanes) {
      const Floats slope = load(dy + i);
      const Floats value = load(x + i);
      products += slope * load(weight + i) * value;
      store(dweight + i, load(dweight + i) + slope * value * factor);
    }
    if (i < dim) {
      const std::int64_t rest = dim - i;
      const Floats slope = load_some(dy + i, rest, 0);
      const Floats value = load_some(x + i, rest, 0);
      products += slope * load_some(weight + i, rest, 0) * value;
      store_some(dweight + i, rest, load_some(dweight + i, rest, 0) + slope * value * factor);
    }
    const float pull = sum(products) * factor * factor * factor / static_cast<float>(dim);
    for (i = 0; i + kLanes <= dim; i += kLanes) {
      store(dx + i, load(dy + i) * load(weight + i) * factor - load(x + i) * pull);
    }
    for (; i < dim; ++i) dx[i] = dy[i] * weight[i] * factor - x[i] * pull;
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
void rotate(const Number* x, std::int64_t stride, const float* table, std::int64_t heads,
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
    const std::int64_t count = half - i;
    const bool is_whole = count >= kLanes;
    const auto some = [&](const auto* from) {
      return is_whole ? load(from) : load_some(from, count, 0);
    };
    const auto keep = [&](Number* to, Floats value) {
      is_whole ? store(to, value) : store_some(to, count, value);
    };
    const Floats lower_cosines = some(table + i);
    const Floats upper_cosines = some(table + i + half);
    const Floats lower_sines = some(table + dim + i);
    const Floats upper_sines = some(table + dim + i + half);
    // Backward is the transposed: what came from the one goes to it.
    const Floats into_lower = back ? upper_sines : -lower_sines;
    const Floats into_upper = back ? -lower_sines : upper_sines;
    for (std::int64_t head = 0; head < heads; ++head) {
      const Number* from = x + head * stride + i;
      const Floats lower = some(from);
      const Floats upper = some(from + half);
      Number* to = y + head * y_stride + i;
      keep(to, lower * lower_cosines + upper * into_lower);
      keep(to + half, upper * upper_cosines + lower * into_upper);
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
};

inline SwigluSlopes slopes_of(Floats dy, Floats gate, Floats up) {
  const Floats open = sigmoid(gate);
  const Floats silu = gate * open;
  return {dy * up * (open + silu * (1.0F - open)), dy * silu};
}

template <class Number>
void swiglu_backward(const Number* dy, const Number* a, const Number* b, std::int64_t count,
                     Number* da, Number* db) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const SwigluSlopes slopes = slopes_of(load(dy + i), load(a + i), load(b + i));
    store(da + i, slopes.a);
    store(db + i, slopes.b);
  }
  if (i < count) {
    const std::int64_t rest = count - i;
    const SwigluSlopes slopes =
        slopes_of(load_some(dy + i, rest, 0), load_some(a + i, rest, 0), load_some(b + i, rest, 0));
    store_some(da + i, rest, slopes.a);
    store_some(db + i, rest, slopes.b);
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

}  // namespace

namespace {

Bf16* numbers(Bf16Bits* bits) { return reinterpret_cast<Bf16*>(bits); }
const Bf16* numbers(const Bf16Bits* bits) { return reinterpret_cast<const Bf16*>(bits); }

void rotate_bf16(const Bf16Bits* x, std::int64_t stride, const float* table, std::int64_t heads,
                 std::int64_t dim, float direction, Bf16Bits* y, std::int64_t y_stride) {
  rotate(numbers(x), stride, table, heads, dim, direction, numbers(y), y_stride);
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
                          std::int64_t count, Bf16Bits* da, Bf16Bits* db) {
  swiglu_backward(numbers(dy), numbers(a), numbers(b), count, numbers(da), numbers(db));
}

}  // namespace

extern const RowKernels row_kernels;  // or it would be this file's own
const RowKernels row_kernels = {
    rms_norm,
    rms_norm_backward,
    {rotate<float>, rotate_halves<float>, swiglu<float>, swiglu_backward<float>},
    {rotate_bf16, rotate_halves_bf16, swiglu_bf16, swiglu_backward_bf16},
    log_sum_exp};

}  // namespace titan::kernels::TITAN_ISA
