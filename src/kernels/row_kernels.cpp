#include "kernels/row_kernels.h"

#include "kernels/vectors.h"

namespace titan::kernels::TITAN_ISA {
namespace {

constexpr float kLog2e = 1.4426950408889634F;
constexpr float kLn2 = 0.6931471805599453F;

/// The last, incomplete vector of a row, filled up.
inline Floats load_some(const float* from, std::int64_t count, float fill) {
  float result[kLanes];
  for (int i = 0; i < kLanes; ++i) result[i] = i < count ? from[i] : fill;
  return load(result);
}
inline void store_some(float* to, std::int64_t count, Floats value) {
  float lanes[kLanes];
  store(lanes, value);
  for (int i = 0; i < count; ++i) to[i] = lanes[i];
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

void rotate(const float* x, std::int64_t stride, const float* table, std::int64_t heads,
            std::int64_t dim, float direction, float* y) {
  for (std::int64_t head = 0; head < heads; ++head, x += stride, y += dim) {
    for (std::int64_t i = 0; i < dim; i += 2) {
      const float cosine = table[i];
      const float sine = table[i + 1] * direction;
      y[i] = x[i] * cosine - x[i + 1] * sine;
      y[i + 1] = x[i + 1] * cosine + x[i] * sine;
    }
  }
}

inline Floats sigmoid(Floats x) { return 1.0F / (1.0F + exp2(x * -kLog2e)); }

void swiglu(const float* a, const float* b, std::int64_t count, float* y) {
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

void swiglu_backward(const float* dy, const float* a, const float* b, std::int64_t count, float* da,
                     float* db) {
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

extern const RowKernels row_kernels;  // or it would be this file's own
const RowKernels row_kernels = {rms_norm, rms_norm_backward, rotate,
                                swiglu,   swiglu_backward,   log_sum_exp};

}  // namespace titan::kernels::TITAN_ISA
