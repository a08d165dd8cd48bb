// The kernels of layers and loss on a GPU against LibTorch's operators there: the same numbers, in less time
// (scripts/gpu_first_hour.sh). Skipped without one.
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>

#include "support/kernel_twin.h"
#include "titan/kernels/cross_entropy.h"
#include "titan/kernels/layers.h"
#include "titan/tools/accelerator.h"

namespace titan::kernels {
namespace {

using at::Tensor;

class KernelsOnGpu : public testing::Test {
 protected:
  void SetUp() override {
    const tools::AcceleratorSearch search = tools::find_accelerator();
    if (search.accelerator == nullptr) GTEST_SKIP() << search.reason;
    at::globalContext().lazyInitDevice(at::kCUDA);
    at::manual_seed(1);
    if (!takes_rotation(on_gpu({1}, at::kFloat)))
      GTEST_SKIP() << "this build has no kernels (nvcc)";
  }

  static Tensor on_gpu(at::IntArrayRef sizes, at::ScalarType type) {
    return at::randn(sizes).to(at::kCUDA, type);
  }
};

double seconds(const std::function<void()>& work) {
  const c10::impl::VirtualGuardImpl device(at::kCUDA);
  double least = 1e9;
  for (int i = 0; i < 8; ++i) {
    device.synchronizeDevice(0);
    const auto start = std::chrono::steady_clock::now();
    for (int j = 0; j < 5; ++j) work();
    device.synchronizeDevice(0);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    least = std::min(least, took.count() / 5);
  }
  return least;
}

/// Against the reference in fp64, the same bits twice, and not slower than LibTorch's in the inputs' own type.
void expect_better(const char* name, const Function& ours, const Function& theirs,
                   const Tensors& inputs, const Tensor& gradient) {
  Tensors doubles;
  for (const Tensor& x : inputs) doubles.push_back(x.to(at::kDouble));
  const Tensors expected = differentiate(theirs, doubles, gradient.to(at::kDouble));
  const Tensors results = differentiate(ours, inputs, gradient);
  const Tensors again = differentiate(ours, inputs, gradient);
  const double share = inputs[0].scalar_type() == at::kFloat ? 0.0 : 0.0079;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(i);
    const Tensor bound = expected[i].abs() * share + expected[i].abs().max() * 2e-6;
    EXPECT_LE(((results[i].to(at::kDouble) - expected[i]).abs() - bound).max().item<double>(), 0.0);
    EXPECT_TRUE(results[i].equal(again[i]));
  }
  const double our_time = seconds([&] { differentiate(ours, inputs, gradient); });
  const double their_time = seconds([&] { differentiate(theirs, inputs, gradient); });
  std::printf("speed: %s %s %.2fx\n", name, c10::toString(inputs[0].scalar_type()),
              their_time / our_time);
  EXPECT_LE(our_time, their_time * 1.05);
}

TEST_F(KernelsOnGpu, Swiglu) {
  for (const at::ScalarType type : {at::kBFloat16, at::kFloat}) {
    for (const std::int64_t columns : {14336, 77}) {
      expect_better(
          "swiglu", [](const Tensors& x) { return swiglu(x[0], x[1]); },
          [](const Tensors& x) { return at::silu(x[0]) * x[1]; },
          {on_gpu({4096, columns}, type), on_gpu({4096, columns}, type)},
          on_gpu({4096, columns}, type));
    }
  }
}

/// What has no kernel of ours there.
TEST_F(KernelsOnGpu, NormsAndProductsAreLibTorchs) {
  for (const at::ScalarType type : {at::kBFloat16, at::kFloat}) {
    const Tensor x = on_gpu({64, 256}, type);
    const Tensor weight = on_gpu({256}, type);
    EXPECT_TRUE(rms_norm(x, weight, 1e-5).equal(at::rms_norm(x, {256}, weight, 1e-5)));
    const Tensor matrix = on_gpu({128, 256}, type);
    EXPECT_TRUE(kernels::linear(x, matrix).equal(at::linear(x, matrix)));
  }
}

TEST_F(KernelsOnGpu, RotationOfPairs) {
  const Tensor table = table_of_pairs({1, 4096, 1, 64}).to(at::kCUDA);
  for (const at::ScalarType type : {at::kBFloat16, at::kFloat}) {
    expect_better(
        "rotation", [&](const Tensors& x) { return rotate(x[0], table); },
        [&](const Tensors& x) { return rotated_pairs(x[0], table); },
        {on_gpu({2, 4096, 32, 128}, type)}, on_gpu({2, 4096, 32, 128}, type));
  }
}

TEST_F(KernelsOnGpu, RotationOfHalves) {
  const Tensor table = table_of_halves({1, 4096, 1, 64}).to(at::kCUDA);
  for (const at::ScalarType type : {at::kBFloat16, at::kFloat}) {
    expect_better(
        "rotation by halves", [&](const Tensors& x) { return rotate(x[0], table); },
        [&](const Tensors& x) { return rotated_halves(x[0], table); },
        {on_gpu({2, 4096, 32, 128}, type)}, on_gpu({2, 4096, 32, 128}, type));
  }
}

/// With the product in front of it, whose time is the same on both sides. Logits that are no whole packs, too.
TEST_F(KernelsOnGpu, CrossEntropy) {
  const bool tf32 = at::globalContext().allowTF32CuBLAS();
  at::globalContext().setAllowTF32CuBLAS(false);
  for (const at::ScalarType type : {at::kBFloat16, at::kFloat}) {
    for (const std::int64_t vocabulary : {32000, 8191}) {
      const Tensor labels = at::randint(0, vocabulary, {4096}, at::kLong).to(at::kCUDA);
      labels.slice(0, 3, 90).fill_(-100);
      const Tensors inputs = {on_gpu({4096, 1024}, type), 0.02 * on_gpu({vocabulary, 1024}, type)};
      const auto ours = [&](const Tensors& x) {
        return linear_cross_entropy(x[0], x[1], labels) / 4009;
      };
      const auto theirs = [&](const Tensors& x) {
        const auto wide = x[0].scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
        return at::cross_entropy_loss(at::linear(x[0], x[1]).to(wide), labels, {},
                                      at::Reduction::Sum, -100) /
               4009;
      };
      const Tensor one = at::ones_like(inputs[0][0][0], at::kFloat);
      const Tensors expected =
          differentiate(theirs, {inputs[0].to(at::kDouble), inputs[1].to(at::kDouble)}, one);
      const Tensors results = differentiate(ours, inputs, one);
      // Logits and their gradients are rounded to the inputs' type, as LibTorch's are.
      const double bound = type == at::kFloat ? 1e-5 : 2e-2;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        const double largest = expected[i].abs().max().item<double>();
        EXPECT_LE((results[i] - expected[i]).abs().max().item<double>(), bound * largest) << i;
      }
      EXPECT_TRUE(differentiate(ours, inputs, one)[1].equal(results[1]));
      const double our_time = seconds([&] { differentiate(ours, inputs, one); });
      const double their_time = seconds([&] { differentiate(theirs, inputs, one); });
      std::printf("speed: loss of %d words %s %.2fx\n", static_cast<int>(vocabulary),
                  c10::toString(type), their_time / our_time);
      EXPECT_LE(our_time, their_time * 1.05);
    }
  }
  at::globalContext().setAllowTF32CuBLAS(tf32);
}

}  // namespace
}  // namespace titan::kernels
