#pragma once

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
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
  for (const at::Tensor& x : inputs) leaves.push_back(x.detach().clone().set_requires_grad(true));
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

}  // namespace titan::kernels
