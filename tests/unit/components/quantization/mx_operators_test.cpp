#include "components/quantization/mx_operators.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "components/quantization/capability.h"
#include "titan/components/quantization/grouped_products.h"
#include "titan/components/quantization/mx_linear.h"
#include "titan/tools/accelerator.h"

namespace titan::components {
namespace {

using testing::HasSubstr;

at::Tensor random(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

/// Where cuBLAS documents each scale, and zeros where no row or block is.
TEST(MXOperators, ScalesLieInTilesOf128RowsBy4) {
  for (const auto& [rows, blocks] : {std::pair{128, 4}, {256, 12}, {129, 5}, {32, 1}, {300, 7}}) {
    const at::Tensor exponents =
        at::randint(1, 256, {rows, blocks}, at::make_generator<at::CPUGeneratorImpl>(1), at::kInt)
            .to(at::kByte);
    const at::Tensor lying = swizzled(exponents);
    const std::int64_t tiles_of_row = (blocks + 3) / 4;
    ASSERT_EQ(lying.numel(), (rows + 127) / 128 * tiles_of_row * 512);
    const auto* place = lying.const_data_ptr<std::uint8_t>();
    for (int row = 0; row < rows; ++row) {
      for (int block = 0; block < blocks; ++block) {
        const std::int64_t tile = row / 128 * tiles_of_row + block / 4;
        ASSERT_EQ(place[tile * 512 + row % 32 * 16 + row % 128 / 32 * 4 + block % 4],
                  exponents[row][block].item<std::uint8_t>());
      }
    }
    EXPECT_EQ(lying.count_nonzero().item<std::int64_t>(), rows * blocks);
  }
}

TEST(MXOperators, CastsAreThoseOfToMx) {
  const at::Tensor x = random({64, 96}, 1).t();
  for (const MXScaling scaling : {MXScaling::kFloor, MXScaling::kRceil}) {
    const MXTensor expected = to_mx(x.contiguous(), scaling);
    const auto [values, scales] = cast_to_mx(x, scaling);
    EXPECT_EQ(scales.scalar_type(), at::kFloat8_e8m0fnu);
    EXPECT_TRUE(values.is_contiguous());
    EXPECT_TRUE(at::equal(values.view(at::kByte), expected.values.view(at::kByte)));
    EXPECT_TRUE(at::equal(scales.view(at::kByte), swizzled(expected.exponents)));
  }
}

/// Some without rows; behind the last there are more.
at::Tensor ends() { return at::tensor({32, 32, 192, 320, 320, 352}, at::kInt); }
constexpr std::int64_t kSize = 416;

/// The parts' scales, each swizzled by itself, are all there is, one behind the other.
void expect_scales(const at::Tensor& scales, const std::vector<at::Tensor>& exponents) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& part : exponents) parts.push_back(swizzled(part));
  const at::Tensor expected = at::cat(parts);
  const at::Tensor bytes = scales.view(at::kByte).view(-1);
  ASSERT_GE(bytes.numel(), expected.numel());
  EXPECT_TRUE(at::equal(bytes.narrow(0, 0, expected.numel()), expected));
  EXPECT_EQ(bytes.count_nonzero().item<std::int64_t>(),
            expected.count_nonzero().item<std::int64_t>());
}

TEST(MXOperators, GroupsOfRowsHaveTilesOfTheirOwn) {
  for (const std::int64_t columns : {128, 160}) {
    const at::Tensor x = random({kSize, columns}, 1);
    const auto [values, scales] =
        cast_to_mx_by_group(x, ends(), MXGroups::kRows, MXScaling::kRceil);
    const MXTensor expected = to_mx(x, MXScaling::kRceil);
    EXPECT_TRUE(at::equal(values.view(at::kByte), expected.values.view(at::kByte)));
    EXPECT_EQ(scales.scalar_type(), at::kFloat8_e8m0fnu);
    EXPECT_GE(scales.size(0), kSize) << "at::_scaled_grouped_mm asks for it";
    expect_scales(scales,
                  {expected.exponents.slice(0, 0, 32), expected.exponents.slice(0, 32, 192),
                   expected.exponents.slice(0, 192, 320), expected.exponents.slice(0, 320, 352)});
  }
}

TEST(MXOperators, GroupsOfColumnsHaveTilesOfTheirOwn) {
  for (const std::int64_t rows : {128, 160}) {
    const at::Tensor x = random({kSize, rows}, 1).t();
    const auto [values, scales] =
        cast_to_mx_by_group(x, ends(), MXGroups::kColumns, MXScaling::kRceil);
    const MXTensor expected = to_mx(x.contiguous(), MXScaling::kRceil);
    EXPECT_TRUE(at::equal(values.view(at::kByte), expected.values.view(at::kByte)));
    EXPECT_GE(scales.size(0), rows) << "at::_scaled_grouped_mm asks for it";
    expect_scales(scales,
                  {expected.exponents.slice(1, 0, 1), expected.exponents.slice(1, 1, 6),
                   expected.exponents.slice(1, 6, 10), expected.exponents.slice(1, 10, 11)});
  }
}

TEST(MXOperators, AGpuWithoutTheProductsIsRefusedWithTheCapabilityAndTheHint) {
  const RequiredCapability required{"quantize.linear.mx.recipe_name = \"mxfp8_cublas\"", 100,
                                    "\"mxfp8_emulated\"", "the model's own type"};
  tools::DeviceFacts gpu;
  gpu.name = "NVIDIA H100";
  gpu.capability = 90;
  EXPECT_EQ(capability_problem(required, gpu),
            "quantize.linear.mx.recipe_name = \"mxfp8_cublas\" needs a GPU of compute capability "
            "10.0 or above; NVIDIA H100 has 9.0; \"mxfp8_emulated\" rounds in the same way and "
            "multiplies in the model's own type");
  gpu.capability = 100;
  EXPECT_EQ(capability_problem(required, gpu), "");
  const RequiredCapability grouped{"experts", 100, "\"mxfp8_emulated\"", "bfloat16", 110};
  EXPECT_EQ(capability_problem(grouped, gpu), "");
  gpu.capability = 120;
  EXPECT_THAT(capability_problem(grouped, gpu),
              HasSubstr("compute capability 10.0 or above, below 11.0; NVIDIA H100 has 12.0"));
}

class MXOnGpu : public testing::Test {
 protected:
  void SetUp() override {
    search_ = tools::find_accelerator();
    if (search_.accelerator == nullptr) GTEST_SKIP() << search_.reason;
  }
  tools::AcceleratorSearch search_;
};

TEST_F(MXOnGpu, CastsHaveTheCpusBits) {
  for (const at::ScalarType type : {at::kBFloat16, at::kFloat}) {
    for (const MXScaling scaling : {MXScaling::kFloor, MXScaling::kRceil}) {
      for (const bool is_view : {false, true}) {
        at::Tensor x = random({160, 224}, 1).to(type);
        x[3].slice(0, 0, 32).zero_();
        x[4] *= 1e-30;
        if (is_view) x = x.t().slice(1, 0, 160);
        const auto [values, scales] = cast_to_mx(x, scaling);
        const auto [on_gpu, scales_on_gpu] = cast_to_mx(x.to(at::kCUDA), scaling);
        EXPECT_TRUE(at::equal(on_gpu.cpu().view(at::kByte), values.view(at::kByte)));
        EXPECT_TRUE(at::equal(scales_on_gpu.cpu().view(at::kByte), scales.view(at::kByte)));
      }
    }
  }
}

TEST_F(MXOnGpu, CastsOfGroupsHaveTheCpusBits) {
  for (const MXGroups groups : {MXGroups::kRows, MXGroups::kColumns}) {
    at::Tensor x = random({kSize, 160}, 1);
    if (groups == MXGroups::kColumns) x = x.t();
    const auto [values, scales] = cast_to_mx_by_group(x, ends(), groups, MXScaling::kRceil);
    const auto [on_gpu, scales_on_gpu] =
        cast_to_mx_by_group(x.to(at::kCUDA), ends().to(at::kCUDA), groups, MXScaling::kRceil);
    EXPECT_TRUE(at::equal(on_gpu.cpu().view(at::kByte), values.view(at::kByte)));
    EXPECT_TRUE(at::equal(scales_on_gpu.cpu().view(at::kByte), scales.view(at::kByte)));
  }
}

TEST_F(MXOnGpu, GroupedProductsAreThoseOfEmulation) {
  if (search_.accelerator->facts(0).capability / 10 != 10) {
    GTEST_SKIP() << "grouped MXFP8 products need a GPU of compute capability 10.0";
  }
  const at::Tensor counts = at::tensor({5, 0, 160, 33, 300, 0}, at::kLong);
  for (const auto& [in, out] : {std::pair{256, 128}, {160, 224}}) {
    const auto run = [&](at::Device device, MXProducts products) {
      const auto to_device = [&](const at::Tensor& x) { return x.to(at::kBFloat16).to(device); };
      const at::Tensor x = to_device(random({498, in}, 1)).requires_grad_(true);
      const at::Tensor weights = to_device(random({6, out, in}, 2)).requires_grad_(true);
      const at::Tensor y = mx_grouped_product(x, weights, counts.to(device), products);
      y.backward(to_device(random({498, out}, 3)));
      return std::vector<at::Tensor>{y.detach().cpu(), x.grad().cpu(), weights.grad().cpu()};
    };
    const auto expected = run(at::kCPU, MXProducts::kEmulated);
    const auto results = run(at::kCUDA, MXProducts::kScaled);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const at::Tensor near = expected[i].to(at::kFloat);
      const at::Tensor bound = near.abs() * 0.0158 + near.abs().max() * 1e-5;
      EXPECT_LE(((results[i].to(at::kFloat) - near).abs() - bound).max().item<float>(), 0) << i;
    }
  }
}

/// The emulated operands are exact: what differs is one rounding to bfloat16.
TEST_F(MXOnGpu, ProductsAreThoseOfEmulation) {
  if (search_.accelerator->facts(0).capability < 100) {
    GTEST_SKIP() << "MXFP8 products need a GPU of compute capability 10.0";
  }
  // Also rows and features that are no whole tiles of scales.
  for (const auto& [tokens, in, out] : {std::tuple{512, 1024, 256}, {96, 160, 224}}) {
    for (const MXScaling scaling : {MXScaling::kFloor, MXScaling::kRceil}) {
      const auto run = [&](at::Device device, at::ScalarType type, MXProducts products) {
        const at::Tensor x =
            random({tokens, in}, 1).to(at::kBFloat16).to(device, type).requires_grad_(true);
        const at::Tensor weight =
            random({out, in}, 2).to(at::kBFloat16).to(device, type).requires_grad_(true);
        const at::Tensor y = mx_linear(x, weight, scaling, products);
        y.backward(random({tokens, out}, 3).to(at::kBFloat16).to(device, type));
        return std::vector<at::Tensor>{y.detach().cpu(), x.grad().cpu(), weight.grad().cpu()};
      };
      const auto expected = run(at::kCPU, at::kFloat, MXProducts::kEmulated);
      const auto results = run(at::kCUDA, at::kBFloat16, MXProducts::kScaled);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        const at::Tensor bound = expected[i].abs() * 0.0079 + expected[i].abs().max() * 1e-5;
        EXPECT_LE(((results[i].to(at::kFloat) - expected[i]).abs() - bound).max().item<float>(), 0)
            << i;
      }
    }
  }
}

}  // namespace
}  // namespace titan::components
