#include "titan/parallel/ddp.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "support/local_ranks.h"
#include "titan/nn/linear.h"

namespace titan::parallel {
namespace {

/// What two ranks' microbatches, which give gradients 1, 2 and 4, add up to.
class DdpVerbs : public ::testing::Test {
 protected:
  static void on_ranks(const std::function<void(nn::Linear&, Ddp&)>& body) {
    test::on_local_ranks({2}, 2, [&](const comm::RankContext& context) {
      nn::Linear model(1, 1, at::kFloat);
      const auto ddp = Ddp::apply(model, context.group(mesh::MeshDim::kDpReplicate));
      model.to_empty(at::kCPU);
      model.weight().fill([](const at::Tensor& full) { full.fill_(1); });
      body(model, *ddp);
    });
  }
  static void backward(nn::Linear& model, float gradient) {
    model.call(at::full({1, 1}, gradient)).sum().backward();
  }
  static float gradient_of(const nn::Linear& model) {
    return model.weight().tensor.grad().item<float>();
  }
};

TEST_F(DdpVerbs, WhatIsLeftIsSummedOnce) {
  on_ranks([](nn::Linear& model, Ddp& ddp) {
    ddp.set_requires_gradient_sync(false);
    backward(model, 1);
    backward(model, 2);
    EXPECT_EQ(gradient_of(model), 3);
    ddp.reduce_gradients();
    EXPECT_EQ(gradient_of(model), 6);
    ddp.reduce_gradients();
    EXPECT_EQ(gradient_of(model), 6) << "nothing was left";
    model.weight().tensor.mutable_grad().reset();
    backward(model, 4);
    ddp.reduce_gradients();
    EXPECT_EQ(gradient_of(model), 8) << "the next step's";
  });
}

TEST_F(DdpVerbs, NothingIsLeftOfABackwardThatSums) {
  on_ranks([](nn::Linear& model, Ddp& ddp) {
    ddp.reduce_gradients();
    ddp.set_requires_gradient_sync(false);
    backward(model, 1);
    ddp.set_requires_gradient_sync(true);
    backward(model, 2);
    EXPECT_EQ(gradient_of(model), 6);
    ddp.reduce_gradients();
    EXPECT_EQ(gradient_of(model), 6);
  });
}

}  // namespace
}  // namespace titan::parallel
