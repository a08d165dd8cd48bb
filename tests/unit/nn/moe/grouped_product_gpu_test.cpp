// One kernel for all groups on a GPU, against one product after the other.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "titan/nn/moe/grouped_product.h"
#include "titan/tools/accelerator.h"

namespace titan::nn {
namespace {

using Counts = std::vector<std::int64_t>;

class GroupedProductOnGpu : public testing::TestWithParam<Counts> {};

/// What comes of the same numbers on a device: output and both gradients.
std::vector<at::Tensor> results(const Counts& counts, at::Device device, at::ScalarType type,
                                at::Device counts_on) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(7);
  const std::int64_t rows = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  const auto draw = [&](at::IntArrayRef sizes) {
    return at::randn(sizes, generator, at::kFloat).to(at::kBFloat16).to(device, type);
  };
  const at::Tensor x = draw({rows, 64}).set_requires_grad(true);
  const at::Tensor weights =
      draw({static_cast<std::int64_t>(counts.size()), 96, 64}).set_requires_grad(true);
  const at::Tensor output =
      grouped_product(x, weights, at::tensor(counts, at::kLong).to(counts_on));
  output.backward(draw({rows, 96}));
  return {output.detach(), x.grad(), weights.grad()};
}

TEST_P(GroupedProductOnGpu, IsThatOfTheLoop) {
  const tools::AcceleratorSearch search = tools::find_accelerator();
  if (search.accelerator == nullptr) GTEST_SKIP() << search.reason;
  if (!at::hasCUDA()) GTEST_SKIP() << "tensors were made before CUDA was loaded; run it alone";
  const at::Device gpu(at::kCUDA, 0);
  const auto expected = results(GetParam(), at::kCPU, at::kFloat, at::kCPU);
  for (const at::Device counts_on : {gpu, at::Device(at::kCPU)}) {
    const auto actual = results(GetParam(), gpu, at::kBFloat16, counts_on);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double off = (actual[i].to(at::kCPU, at::kFloat) - expected[i]).norm().item<double>();
      EXPECT_LT(off, 1e-2 * expected[i].norm().item<double>()) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Counts, GroupedProductOnGpu,
                         testing::Values(Counts{16, 8, 24, 64}, Counts{1, 0, 7, 33},
                                         Counts{0, 0, 100, 0}, Counts{3, 5, 2, 1, 0, 129}));

}  // namespace
}  // namespace titan::nn
