#include "titan/nn/linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/function.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace titan::nn {
namespace {

using at::Tensor;

/// Three projections of one input, as an attention layer has them.
class LinearTest : public ::testing::Test {
 protected:
  LinearTest() {
    for (Linear* layer : all) {
      layer->to_empty(at::kCPU);
      layer->weight().fill([](const Tensor& full) { full.copy_(at::randn(full.sizes())); });
      layer->take_fast_path();
    }
  }

  std::vector<Tensor> together() { return call_together(all, x); }

  /// Whether two results are of one node of the graph.
  static bool is_one(const Tensor& a, const Tensor& b) { return a.grad_fn() == b.grad_fn(); }

  void expect_like_single_layers(const std::vector<Tensor>& results) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_TRUE(results[i].equal(all[i]->call(x)));
    }
  }

  Linear query{16, 24, at::kFloat};
  Linear key{16, 8, at::kFloat};
  Linear value{16, 8, at::kFloat};
  std::vector<Linear*> all = {&query, &key, &value};
  Tensor x = at::randn({2, 5, 16}).set_requires_grad(true);
};

TEST_F(LinearTest, OnTheFastPathProductsAreMadeTogether) {
  const std::vector<Tensor> results = together();
  EXPECT_TRUE(is_one(results[0], results[1]) && is_one(results[0], results[2]));
  expect_like_single_layers(results);
}

TEST_F(LinearTest, OffItEachIsByItself) {
  Linear slow(16, 8, at::kFloat);
  slow.to_empty(at::kCPU);
  slow.weight().tensor.detach().zero_();
  all = {&query, &slow};
  EXPECT_FALSE(is_one(together()[0], together()[1]));
}

TEST_F(LinearTest, WhatIsAttachedToALayerRuns) {
  std::vector<std::string> order;
  query.add_pre_forward_hook([&](Module&, Inputs&) { order.emplace_back("into query"); });
  key.add_post_forward_hook([&](Module&, const Inputs&, Tensors& outputs) {
    order.emplace_back("out of key");
    outputs[0] = 2 * outputs[0];
  });
  const std::vector<Tensor> results = together();
  EXPECT_EQ(order, (std::vector<std::string>{"into query", "out of key"}));
  EXPECT_TRUE(is_one(results[0], results[2]));
  expect_like_single_layers(results);
}

/// Tensor parallelism may gather what one of them takes.
TEST_F(LinearTest, WhoIsGivenSomethingElseIsByItself) {
  key.add_pre_forward_hook([](Module&, Inputs& inputs) { inputs.tensors[0] = 3 * inputs.at(0); });
  const std::vector<Tensor> results = together();
  EXPECT_TRUE(is_one(results[0], results[2]));
  EXPECT_FALSE(is_one(results[0], results[1]));
  expect_like_single_layers(results);
}

TEST_F(LinearTest, NothingIsMadeTogetherWithAProductThatIsAnothers) {
  value.multiply_apart();
  value.wrap_forward([](const Module::Forward&, const Inputs& inputs) {
    return Tensors{inputs.at(0).narrow(-1, 0, 8) + 1};
  });
  const std::vector<Tensor> results = together();
  EXPECT_FALSE(is_one(results[0], results[1]));
  expect_like_single_layers(results);
}

/// What a layer makes of SwiGLU, whose product backward makes again where it can.
struct OfSwiglu {
  Tensor result;
  Tensor gate_gradient;
  Tensor weight_gradient;
  bool is_one = false;  // node, of the layer and of SwiGLU
};

class LinearOfSwigluTest : public LinearTest {
 protected:
  OfSwiglu run(const std::function<Tensor(const Tensor& gate, const Tensor& up)>& call) {
    const Tensor gate = gate_.clone().set_requires_grad(true);
    const Tensor up = up_.clone().set_requires_grad(true);
    const Tensor& weight = query.weight().tensor;
    weight.mutable_grad() = Tensor();
    OfSwiglu found;
    found.result = call(gate, up);
    const auto& before = found.result.grad_fn()->next_edges();
    found.is_one = before[0].function->next_edges().empty();
    found.result.sum().backward();
    found.gate_gradient = gate.grad();
    found.weight_gradient = weight.grad();
    return found;
  }
  OfSwiglu on_swiglu() {
    return run(
        [this](const Tensor& gate, const Tensor& up) { return call_on_swiglu(query, gate, up); });
  }
  /// Whatever is attached to the layer sees the product, and what it makes of it counts.
  void expect_like_the_two_in_turn(const OfSwiglu& results) {
    const OfSwiglu expected = run(
        [this](const Tensor& gate, const Tensor& up) { return query.call(at::silu(gate) * up); });
    EXPECT_TRUE(at::allclose(results.result, expected.result, 1e-5, 1e-6));
    EXPECT_TRUE(at::allclose(results.gate_gradient, expected.gate_gradient, 1e-5, 1e-6));
    EXPECT_TRUE(at::allclose(results.weight_gradient, expected.weight_gradient, 1e-5, 1e-6));
  }

  Tensor gate_ = at::randn({2, 5, 16});
  Tensor up_ = at::randn({2, 5, 16});
};

TEST_F(LinearOfSwigluTest, OnTheFastPathTheTwoAreOne) {
  const OfSwiglu results = on_swiglu();
  EXPECT_TRUE(results.is_one);
  expect_like_the_two_in_turn(results);
}

TEST_F(LinearOfSwigluTest, WhoIsGivenSomethingElseTakesThat) {
  query.add_pre_forward_hook([](Module&, Inputs& inputs) { inputs.tensors[0] = 3 * inputs.at(0); });
  const OfSwiglu results = on_swiglu();
  EXPECT_FALSE(results.is_one);
  expect_like_the_two_in_turn(results);
}

TEST_F(LinearOfSwigluTest, AProductThatIsAnothersStaysBehindSwiglu) {
  query.multiply_apart();
  const OfSwiglu results = on_swiglu();
  EXPECT_FALSE(results.is_one);
  expect_like_the_two_in_turn(results);
}

}  // namespace
}  // namespace titan::nn
