// How a GPU's threads round to MXFP8, run by a CPU beside what all other devices do.
#include "cuda/mx_arithmetic.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <tuple>

#include "titan/components/quantization/mx_linear.h"

namespace titan::cuda {
namespace {

using at::Tensor;

at::Generator generator(std::uint64_t seed) {
  return at::make_generator<at::CPUGeneratorImpl>(seed);
}

TEST(MXArithmetic, E4m3IsRoundedAsLibTorchRounds) {
  const Tensor bits = at::randint(0, 0x43E00000, {200000}, generator(1), at::kInt);  // up to 448
  const Tensor x = bits.view(at::kFloat).clone();
  x.slice(0, 100000) = at::randn({100000}, generator(2)) * 0.01;  // subnormal numbers of it
  for (int i = 0; i < 512; ++i) x[i] = i / 1024.0;                // what is between two
  x[512] = std::numeric_limits<float>::quiet_NaN();
  x.slice(0, 513, 1000).neg_();
  const Tensor expected = x.to(at::kFloat8_e4m3fn).view(at::kByte);
  const auto* numbers = x.const_data_ptr<float>();
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    ASSERT_EQ(to_e4m3(numbers[i]), expected.const_data_ptr<std::uint8_t>()[i]) << numbers[i];
  }
}

template <class Tiles>
std::tuple<Tensor, Tensor> cast_by_threads(const Tensor& x, std::int64_t rule, const Tiles& tiles,
                                           at::IntArrayRef sizes_of_scales) {
  const MXSource source{x.size(0), x.size(1), x.stride(0), x.stride(1)};
  const Tensor values = at::empty(x.sizes(), at::kByte);
  const std::int64_t blocks = source.columns / kMXBlock;
  const Tensor scales = at::zeros(sizes_of_scales, at::kByte);
  const auto cast = [&](const auto* numbers) {
    for (std::int64_t row = 0; row < source.rows; ++row) {
      for (std::int64_t block = 0; block < blocks; ++block) {
        cast_mx_block(source, static_cast<MXScaleRule>(rule), numbers, row, block,
                      values.mutable_data_ptr<std::uint8_t>(), tiles,
                      scales.mutable_data_ptr<std::uint8_t>());
      }
    }
  };
  x.scalar_type() == at::kFloat ? cast(x.const_data_ptr<float>())
                                : cast(static_cast<const Bf16*>(x.const_data_ptr()));
  return {values, scales};
}

/// Numbers of all sizes, and what rounding does not expect.
Tensor matrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Tensor x = at::randn({rows, columns}, generator(seed)) *
             (12 * at::randn({rows, columns / 32, 1}, generator(seed + 100)))
                 .exp2()
                 .expand({rows, columns / 32, 32})
                 .reshape({rows, columns});
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  x[0].slice(0, 0, 32).zero_();
  x[1].slice(0, 0, 32) *= 1e-38;
  x[2][5] = kInfinity;
  x[3][40] = std::numeric_limits<float>::quiet_NaN();
  x[4][7] = 3e38;
  x[5].slice(0, 32, 64) = 448.0;
  x[6].slice(0, 32, 64) = 500.0;
  return x;
}

TEST(MXArithmetic, BlocksAreRoundedAsOnAllOtherDevices) {
  // Links the operator.
  const Tensor one = at::ones({kMXBlock, kMXBlock});
  ASSERT_TRUE(components::mx_linear(one, one, components::MXScaling::kFloor).defined());
  const auto op = c10::Dispatcher::singleton()
                      .findSchemaOrThrow("titan::cast_to_mx", "")
                      .typed<std::tuple<Tensor, Tensor>(const Tensor&, std::int64_t)>();
  std::uint64_t seed = 0;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t rule : {0, 1}) {
      for (const auto& [rows, columns] : {std::pair{160, 64}, {128, 224}, {7, 128}}) {
        for (const bool is_view : {false, true}) {
          SCOPED_TRACE(testing::Message() << type << rule << rows << is_view);
          Tensor x = matrix(rows, columns, ++seed).to(type);
          if (is_view) x = x.t().contiguous().t();
          const auto [values, scales] = op.call(x, rule);
          const auto [by_threads, scales_by_threads] =
              cast_by_threads(x, rule, MXTiles{columns / kMXBlock}, scales.sizes());
          EXPECT_TRUE(at::equal(by_threads, values.view(at::kByte)));
          EXPECT_TRUE(at::equal(scales_by_threads, scales.view(at::kByte)));
        }
      }
    }
  }
}

TEST(MXArithmetic, ScalesOfGroupsLieAsOnAllOtherDevices) {
  const auto op = c10::Dispatcher::singleton()
                      .findSchemaOrThrow("titan::cast_to_mx_by_group", "")
                      .typed<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&,
                                                        std::int64_t, bool, at::IntArrayRef)>();
  const Tensor ends = at::tensor({0, 64, 64, 320, 352}, at::kInt);
  const Tensor before = at::tensor({0, 0, 1, 1, 3}, at::kLong);  // tiles of 128
  for (const std::int64_t other : {64, 160}) {
    for (const bool of_rows : {true, false}) {
      Tensor x = matrix(416, other, 7);
      if (!of_rows) x = x.t();
      const std::int64_t blocks = x.size(1) / kMXBlock;
      const auto sizes = of_rows ? std::array<std::int64_t, 2>{4 * 128, (blocks + 3) / 4 * 4}
                                 : std::array<std::int64_t, 2>{(other + 127) / 128 * 128, 4 * 4};
      const auto [values, scales] = op.call(x, ends, before, 1, of_rows, sizes);
      const MXGroupTiles tiles{ends.const_data_ptr<std::int32_t>(),
                               before.const_data_ptr<std::int64_t>(),
                               ends.numel(),
                               of_rows,
                               x.size(0),
                               blocks};
      const auto [by_threads, scales_by_threads] = cast_by_threads(x, 1, tiles, sizes);
      EXPECT_TRUE(at::equal(by_threads, values.view(at::kByte)));
      EXPECT_TRUE(at::equal(scales_by_threads, scales.view(at::kByte)));
    }
  }
}

}  // namespace
}  // namespace titan::cuda
