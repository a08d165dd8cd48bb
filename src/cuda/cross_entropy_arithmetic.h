#pragma once

#include "cuda/portable.h"

namespace titan::cuda {

/// The sum of 2^(x · log2(e)) of some numbers, as `sum` · 2^(`most` · log2(e)).
struct PowerSum {
  float most = -3.4e38F;
  float sum = 0.0F;
};

TITAN_PORTABLE inline float power_of_e(float x) {
  constexpr float kLog2e = 1.4426950408889634F;
  return exp2f(x * kLog2e);
}

TITAN_PORTABLE inline float larger(float a, float b) { return a > b ? a : b; }

TITAN_PORTABLE inline PowerSum merged(PowerSum a, PowerSum b) {
  const float most = larger(a.most, b.most);
  return {most, a.sum * power_of_e(a.most - most) + b.sum * power_of_e(b.most - most)};
}

/// Threads of a block, all of which have a row together.
constexpr int kRowThreads = 512;

/// The log-sum-exp of a row: each thread adds up packs that are kRowThreads apart, then pairs are added up, and pairs of
/// pairs. So the order is always the same. `partial` `[kRowThreads]` is the block's. What is no number makes the result none.
class RowSum {
 public:
  TITAN_PORTABLE explicit RowSum(PowerSum* partial) : partial_(partial) {}

  template <int kWidth, class Number>
  TITAN_PORTABLE float log_sum_exp(const Number* row, std::int64_t count) {
    PowerSum* partial = partial_;
    each([=](int thread) { partial[thread] = sum_of_thread<kWidth>(row, count, thread); });
    for (int half = kRowThreads / 2; half > 0; half /= 2) {
      each([=](int thread) {
        if (thread < half) partial[thread] = merged(partial[thread], partial[thread + half]);
      });
    }
    constexpr float kLn2 = 0.6931471805599453F;
    return partial[0].most + log2f(partial[0].sum) * kLn2;
  }

 private:
  /// What all threads of a block do before any goes on.
  template <class Work>
  TITAN_PORTABLE static void each(Work work) {
#ifdef __CUDA_ARCH__
    work(static_cast<int>(threadIdx.x));
    __syncthreads();
#else
    for (int thread = 0; thread < kRowThreads; ++thread) work(thread);
#endif
  }

  template <int kWidth, class Number>
  TITAN_PORTABLE static PowerSum sum_of_thread(const Number* row, std::int64_t count, int thread) {
    PowerSum total;
    for (std::int64_t first = static_cast<std::int64_t>(thread) * kWidth; first < count;
         first += static_cast<std::int64_t>(kRowThreads) * kWidth) {
      const auto pack = pack_at<kWidth>(row + first);
      float most = total.most;
      for (int i = 0; i < kWidth; ++i) most = larger(to_float(pack.values[i]), most);
      float sum = total.sum * power_of_e(total.most - most);
      for (int i = 0; i < kWidth; ++i) sum += power_of_e(to_float(pack.values[i]) - most);
      total = {most, sum};
    }
    return total;
  }

  PowerSum* partial_;
};

/// Where a label's logit is in the part of the vocabulary that begins with `offset`; -1: nowhere in it.
TITAN_PORTABLE inline std::int64_t place_of(std::int64_t label, std::int64_t ignore_index,
                                            std::int64_t offset, std::int64_t count) {
  const std::int64_t place = label - offset;
  return label != ignore_index && place >= 0 && place < count ? place : -1;
}

/// Makes a pack of a row its gradient: softmax - 1 at the label's place, which is -1 where it is not in this row, and 0
/// of tokens that are not trained on.
template <int kWidth, class Number>
TITAN_PORTABLE void gradient_pack(Number* row, std::int64_t first, float lse, std::int64_t place,
                                  bool trained) {
  auto pack = pack_at<kWidth>(row + first);
  for (int i = 0; i < kWidth; ++i) {
    const float share = power_of_e(to_float(pack.values[i]) - lse);
    const float slope = first + i == place ? share - 1.0F : share;
    store(pack.values[i], trained ? slope : 0.0F);
  }
  pack_at<kWidth>(row + first) = pack;
}

}  // namespace titan::cuda
