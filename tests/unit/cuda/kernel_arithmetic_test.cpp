// What the kernels of a GPU compute, computed by a CPU: the functions are the same, a loop takes the threads' place.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <tuple>

#include "cuda/cross_entropy_arithmetic.h"
#include "cuda/rotate_arithmetic.h"
#include "cuda/swiglu_arithmetic.h"
#include "titan/kernels/layers.h"

namespace titan::cuda {
namespace {

using at::Tensor;

constexpr std::array kTypes = {at::kFloat, at::kBFloat16};

template <class Number>
Number* numbers(const Tensor& x) {
  return static_cast<Number*>(x.data_ptr());
}

/// Calls `work(number)` with a number of the type that a kernel sees.
template <class Work>
void with_number(at::ScalarType type, const Work& work) {
  type == at::kFloat ? work(float()) : work(Bf16());
}

Tensor random(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

/// The operator of this room's CPU kernels, or of LibTorch's operators, that a GPU's takes the place of.
template <class Signature>
auto twin(const char* name) {
  TORCH_CHECK(kernels::takes_rotation(at::empty({1})));  // links them
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

/// In fp32 some parts of 2^-24 of the largest; in bf16 the same, rounded to 8 bits, which may fall to the other side.
void expect_like(const Tensor& result, const Tensor& expected) {
  ASSERT_EQ(result.sizes(), expected.sizes());
  const Tensor exact = expected.to(at::kDouble);
  const double share = result.scalar_type() == at::kFloat ? 0.0 : 0.0079;
  const Tensor bound = exact.abs() * share + exact.abs().max() * 1e-6;
  EXPECT_LE(((result.to(at::kDouble) - exact).abs() - bound).max().item<double>(), 0.0);
}

TEST(KernelArithmetic, Bfloat16IsRoundedAsLibTorchRounds) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(7);
  const Tensor bits = at::randint(std::numeric_limits<int>::min(), std::numeric_limits<int>::max(),
                                  {100000}, generator, at::kInt);
  bits[0] = 0x3F808000;  // between two: to the even one
  bits[1] = 0x3F818000;
  bits[2] = 0x7F800000;
  bits[3] = 0x7F800001;  // no number
  bits[4] = 0x7F7FFFFF;  // the largest
  const Tensor x = bits.view(at::kFloat);
  const Tensor expected = x.to(at::kBFloat16);
  const Tensor result = at::empty_like(expected);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    store(numbers<Bf16>(result)[i], numbers<float>(x)[i]);
  }
  EXPECT_TRUE(result.isnan().equal(expected.isnan()));
  EXPECT_TRUE(result.nan_to_num(0.0).equal(expected.nan_to_num(0.0)));
  EXPECT_EQ(to_float(numbers<Bf16>(result)[0]), 1.0F);
  EXPECT_EQ(to_float(numbers<Bf16>(result)[1]), 1.015625F);
}

TEST(KernelArithmetic, SwigluIsTheCpus) {
  const auto forward = twin<Tensor(const Tensor&, const Tensor&)>("titan_kernels::swiglu");
  const auto backward =
      twin<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&)>(
          "titan_kernels::swiglu_backward");
  for (const at::ScalarType type : kTypes) {
    const Tensor a = (6 * random({4096}, 1)).to(type);
    const Tensor b = random({4096}, 2).to(type);
    const Tensor dy = random({4096}, 3).to(type);
    a[0] = 200.0;
    a[1] = -200.0;
    const Tensor y = at::empty_like(a);
    const Tensor da = at::empty_like(a);
    const Tensor db = at::empty_like(a);
    with_number(type, [&](auto number) {
      using Number = decltype(number);
      constexpr int kWidth = kWidest<Number>;
      for (std::int64_t first = 0; first < a.numel(); first += kWidth) {
        swiglu_pack<kWidth>(numbers<Number>(a), numbers<Number>(b), first, numbers<Number>(y));
        swiglu_backward_pack<kWidth>(numbers<Number>(dy), numbers<Number>(a), numbers<Number>(b),
                                     first, numbers<Number>(da), numbers<Number>(db));
      }
    });
    expect_like(y, forward.call(a, b));
    const auto [by_gate, by_up] = backward.call(dy, a, b);
    expect_like(da, by_gate);
    expect_like(db, by_up);
  }
}

/// Turns x as a grid of blocks does, in packs of `kWidth`.
template <class Number, int kWidth>
void turn(const Rotation& r, bool halves, const Tensor& x, const Tensor& y) {
  const int parts = r.heads * ((halves ? r.dim / 2 : r.dim) / kWidth);
  for (std::int64_t i = 0; i < r.batch * r.length; ++i) {
    const Token token = token_at(r, i, halves ? 2 * r.dim : r.dim);
    for (int part = 0; part < parts; ++part) {
      if (halves) {
        rotate_halves_part<kWidth>(r, token, part, numbers<Number>(x), numbers<Number>(y));
      } else {
        rotate_pairs_part<kWidth>(r, token, part, numbers<Number>(x), numbers<Number>(y));
      }
    }
  }
}

Heads heads_of(const Tensor& x) { return {x.stride(0), x.stride(1), x.stride(2)}; }

/// As the operator of a GPU calls them, and with the CPU's operator beside it.
void expect_turned(const Tensor& x, const Tensor& table, bool halves, bool back) {
  const auto op = twin<Tensor(const Tensor&, const Tensor&, bool, bool)>("titan_kernels::rotate");
  const Tensor expected = op.call(x, table, halves, back);
  const Tensor y = at::empty_strided(expected.sizes(), expected.strides(), expected.options());
  const Rotation rotation{
      x.size(0),   x.size(1),   static_cast<int>(x.size(2)),   static_cast<int>(x.size(3)),
      heads_of(x), heads_of(y), table.const_data_ptr<float>(), table.size(0) > 1,
      back};
  with_number(x.scalar_type(), [&](auto number) {
    using Number = decltype(number);
    const bool whole = x.size(3) % (2 * kWidest<Number>) == 0;
    if (whole) {
      turn<Number, kWidest<Number>>(rotation, halves, x, y);
    } else if (halves) {
      turn<Number, 1>(rotation, halves, x, y);
    } else {
      turn<Number, 2>(rotation, halves, x, y);
    }
  });
  expect_like(y, expected);
}

TEST(KernelArithmetic, RotationsAreTheCpus) {
  for (const at::ScalarType type : kTypes) {
    for (const bool halves : {false, true}) {
      for (const bool back : {false, true}) {
        for (const std::int64_t dim : {32, 10}) {
          SCOPED_TRACE(testing::Message() << type << halves << back << dim);
          const Tensor x = random({2, 7, 3, dim}, 1).to(type);
          const std::int64_t columns = halves ? 2 * dim : dim;
          expect_turned(x, random({1, 7, columns}, 2), halves, back);
          expect_turned(x, random({2, 7, columns}, 3), halves, back);
          // Heads one behind the other in memory, as attention's backward gives them; a part of a wider product.
          expect_turned(random({2, 3, 7, dim}, 4).to(type).transpose(1, 2),
                        random({1, 7, columns}, 2), halves, back);
          expect_turned(random({2, 7, 5, dim}, 4).to(type).narrow(2, 1, 3),
                        random({1, 7, columns}, 2), halves, back);
        }
      }
    }
  }
}

struct Rows {
  Tensor logits, labels;
  std::int64_t offset = 0;
};

struct Sums {
  Tensor lse, chosen;
};

constexpr std::int64_t kIgnored = -100;

/// Calls `work(number, width)` with packs where rows are whole ones.
template <class Work>
void with_packs(const Rows& rows, const Work& work) {
  with_number(rows.logits.scalar_type(), [&](auto number) {
    constexpr int kWidth = kWidest<decltype(number)>;
    rows.logits.size(1) % kWidth == 0 ? work(number, std::integral_constant<int, kWidth>())
                                      : work(number, std::integral_constant<int, 1>());
  });
}

Sums sums_by_threads(const Rows& rows) {
  const std::int64_t n = rows.logits.size(0);
  const std::int64_t count = rows.logits.size(1);
  Sums sums{at::empty({n}, at::kFloat), at::empty({n}, at::kFloat)};
  with_packs(rows, [&](auto number, auto width) {
    using Number = decltype(number);
    std::array<PowerSum, kRowThreads> partial;
    for (std::int64_t row = 0; row < n; ++row) {
      const Number* of_row = numbers<Number>(rows.logits) + row * count;
      const std::int64_t place =
          place_of(numbers<std::int64_t>(rows.labels)[row], kIgnored, rows.offset, count);
      numbers<float>(sums.lse)[row] =
          RowSum(partial.data()).log_sum_exp<decltype(width)::value>(of_row, count);
      numbers<float>(sums.chosen)[row] = place < 0 ? 0.0F : to_float(of_row[place]);
    }
  });
  return sums;
}

Tensor gradient_by_threads(const Rows& rows, const Tensor& lse) {
  const Tensor result = rows.logits.clone();
  const std::int64_t count = result.size(1);
  with_packs(rows, [&](auto number, auto width) {
    using Number = decltype(number);
    constexpr int kWidth = decltype(width)::value;
    for (std::int64_t row = 0; row < result.size(0); ++row) {
      const std::int64_t label = numbers<std::int64_t>(rows.labels)[row];
      for (std::int64_t first = 0; first < count; first += kWidth) {
        gradient_pack<kWidth>(numbers<Number>(result) + row * count, first,
                              numbers<float>(lse)[row],
                              place_of(label, kIgnored, rows.offset, count), label != kIgnored);
      }
    }
  });
  return result;
}

/// Labels in this part of the vocabulary, before it, behind it, and none.
Rows make_rows(at::ScalarType type, std::int64_t count, std::uint64_t seed) {
  Rows rows{(4 * random({6, count}, seed)).to(type), at::empty({6}, at::kLong), 1000};
  rows.labels.copy_(
      at::tensor({1000L, 1000 + count - 1, 999L, 1000 + count, kIgnored, 1000 + count / 2}));
  return rows;
}

TEST(KernelArithmetic, LossesOfRowsAreThoseOfLibTorch) {
  const auto sums =
      twin<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, std::int64_t, std::int64_t)>(
          "titan_kernels::log_sum_exps");
  const auto differentiate =
      twin<void(Tensor&, const Tensor&, const Tensor&, std::int64_t, std::int64_t)>(
          "titan_kernels::logits_to_gradient");
  std::uint64_t seed = 0;
  for (const at::ScalarType type : kTypes) {
    // Less than the threads, some of them with several packs, and rows that are not whole packs.
    for (const std::int64_t count : {1, 64, 77, 8 * kRowThreads + 24, 2 * kRowThreads + 1}) {
      SCOPED_TRACE(testing::Message() << type << count);
      const Rows rows = make_rows(type, count, ++seed);
      const auto [lse, chosen] = sums.call(rows.logits, rows.labels, kIgnored, rows.offset);
      const Sums result = sums_by_threads(rows);
      expect_like(result.lse, rows.logits.to(at::kDouble).logsumexp(1));
      expect_like(result.lse, lse);
      EXPECT_TRUE(result.chosen.equal(chosen));
      // Of parts of a vocabulary the whole's sums are larger.
      for (const Tensor& whole : {result.lse, result.lse + 0.75}) {
        Tensor expected = rows.logits.clone();
        differentiate.call(expected, whole, rows.labels, kIgnored, rows.offset);
        const Tensor gradient = gradient_by_threads(rows, whole);
        expect_like(gradient, expected);
        EXPECT_EQ(gradient[4].count_nonzero().item<std::int64_t>(), 0) << "it is not trained on";
      }
    }
  }
}

TEST(KernelArithmetic, LogSumExpsOfEveryKindOfRow) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Rows rows = make_rows(at::kFloat, 64, 1);
  rows.logits[0] = -kInfinity;
  rows.logits[1][7] = -kInfinity;
  rows.logits[2][63] = std::numeric_limits<float>::quiet_NaN();
  rows.logits[3] = 1e30F;
  const Tensor lse = sums_by_threads(rows).lse;
  EXPECT_EQ(lse[0].item<float>(), -kInfinity);
  expect_like(lse.slice(0, 1, 2), rows.logits.slice(0, 1, 2).to(at::kDouble).logsumexp(1));
  EXPECT_TRUE(lse[2].isnan().item<bool>());
  EXPECT_FLOAT_EQ(lse[3].item<float>(), 1e30F);
  rows.logits = at::empty({6, 0}, at::kFloat);
  EXPECT_TRUE(sums_by_threads(rows).lse.equal(at::full({6}, -kInfinity)));
}

}  // namespace
}  // namespace titan::cuda
