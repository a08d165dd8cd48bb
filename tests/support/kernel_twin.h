#pragma once

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace titan::kernels {

using Tensors = std::vector<at::Tensor>;
using Function = std::function<at::Tensor(const Tensors&)>;

/// The result, and the gradients by the inputs where `gradient` comes in.
inline Tensors differentiate(const Function& function, const Tensors& inputs,
                             const at::Tensor& gradient) {
  Tensors leaves;
  for (const at::Tensor& x : inputs) leaves.push_back(x.detach().set_requires_grad(true));
  const at::Tensor result = function(leaves);
  result.backward(gradient.to(result.scalar_type()));
  Tensors all = {result.detach()};
  for (const at::Tensor& leaf : leaves) all.push_back(leaf.grad());
  return all;
}

/// By the largest of b.
inline double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b).abs().max().item<double>() / b.abs().max().item<double>();
}

/// `fast` in fp32 against `reference` in fp64, for 1 thread and, with the same bits, for 3.
inline void expect_like(const Function& fast, const Function& reference, const Tensors& inputs,
                        const at::Tensor& gradient, double bound = 2e-6) {
  Tensors doubles;
  for (const at::Tensor& x : inputs) doubles.push_back(x.to(at::kDouble));
  const Tensors expected = differentiate(reference, doubles, gradient);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Tensors results = differentiate(fast, inputs, gradient);
  at::set_num_threads(3);
  const Tensors again = differentiate(fast, inputs, gradient);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_EQ(results[i].defined(), expected[i].defined());
    if (!expected[i].defined()) continue;
    EXPECT_LT(distance(results[i], expected[i]), bound);
    EXPECT_TRUE(results[i].equal(again[i]));
  }
}

// What rotations are: x `[B, S, heads, D]`, tables in its type's width.

/// By a table of complex numbers `[B or 1, S, 1, D / 2]`, adjacent pairs of features.
inline at::Tensor rotated_pairs(const at::Tensor& x, const at::Tensor& table) {
  const auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  auto sizes = x.sizes().vec();
  sizes.back() /= 2;
  sizes.push_back(2);
  const at::Tensor turns = table.to(at::toComplexType(wide));
  return at::view_as_real(at::view_as_complex(x.to(wide).reshape(sizes)) * turns)
      .flatten(3)
      .to(x.scalar_type());
}
inline at::Tensor table_of_pairs(at::IntArrayRef sizes) {
  const at::Tensor angle = at::randn(sizes);
  return at::polar(at::ones_like(angle), angle);
}

/// By a table of D cosines and D sines, features j and D / 2 + j.
inline at::Tensor rotated_halves(const at::Tensor& x, const at::Tensor& table) {
  const std::int64_t half = x.size(-1) / 2;
  const at::Tensor turned = at::cat({-x.slice(-1, half), x.slice(-1, 0, half)}, -1);
  const Tensors parts = table.to(x.scalar_type()).chunk(2, -1);
  return x * parts[0] + turned * parts[1];
}
/// Cosines and sines, each twice, as precompute_rope_cache has them.
inline at::Tensor table_of_halves(at::IntArrayRef sizes) {
  const at::Tensor angle = at::randn(sizes);
  const at::Tensor twice = at::cat({angle, angle}, -1);
  return at::cat({twice.cos(), twice.sin()}, -1);
}

}  // namespace titan::kernels
