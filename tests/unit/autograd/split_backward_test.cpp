#include "titan/autograd/split_backward.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "titan/nn/linear.h"
#include "titan/nn/rms_norm.h"

namespace titan::autograd {
namespace {

at::Tensor numbers(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

/// Two products with a norm and silu around; the second one may have the weight of the first.
class Small : public nn::Module {
 public:
  explicit Small(bool tied)
      : first_(add_child("first", std::make_unique<nn::Linear>(6, 6, at::kFloat))),
        norm_(add_child("norm", std::make_unique<nn::RMSNorm>(6, 1e-5, at::kFloat))),
        second_(add_child("second", std::make_unique<nn::Linear>(6, 6, at::kFloat))) {
    if (tied) second_->tie_parameter("weight", *first_, "weight");
    let_weights_wait(*this);
    to_empty(at::kCPU);
    const c10::NoGradGuard no_grad;
    std::uint64_t seed = 1;
    for (const auto& named : named_parameters()) {
      named.tensor().copy_(numbers(named.tensor().sizes(), seed++));
    }
  }

  std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> result;
    for (const auto& named : named_parameters()) result.push_back(named.tensor());
    return result;
  }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    return {second_->call(norm_->call(at::silu(first_->call(inputs.at(0)))))};
  }

 private:
  nn::Linear* first_;
  nn::RMSNorm* norm_;
  nn::Linear* second_;
};

class Halves : public ::testing::TestWithParam<bool> {};

TEST_P(Halves, MakeTheBitsOfOneBackward) {
  const Small whole(GetParam());
  const Small split(GetParam());
  for (std::uint64_t call = 0; call < 2; ++call) {  // gradients accumulate
    const at::Tensor x = numbers({3, 6}, 10 + call);
    const at::Tensor gradient = numbers({3, 6}, 20 + call);
    const at::Tensor input = x.clone().requires_grad_();
    const_cast<Small&>(whole).call(input).backward(gradient);

    const at::Tensor other = x.clone().requires_grad_();
    SplitBackward backward;
    at::Tensor output;
    {
      const SplitBackward::ForwardScope scope(backward);
      output = const_cast<Small&>(split).call(other);
    }
    backward.backward_inputs(output, gradient, other, split.parameters());
    EXPECT_TRUE(other.grad().equal(input.grad()));
    backward.backward_weights();
  }
  const auto expected = whole.parameters();
  const auto actual = split.parameters();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(actual[i].grad().equal(expected[i].grad())) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Tied, Halves, ::testing::Bool());

TEST(SplitBackward, WeightsHaveNoGradientBetweenTheHalves) {
  Small model(/*tied=*/false);
  const at::Tensor x = numbers({3, 6}, 1).requires_grad_();
  SplitBackward backward;
  at::Tensor output;
  {
    const SplitBackward::ForwardScope scope(backward);
    output = model.call(x);
  }
  backward.backward_inputs(output, numbers({3, 6}, 2), x, model.parameters());
  EXPECT_FALSE(model.submodule("first").named_parameters()[0].tensor().grad().defined());
  EXPECT_TRUE(model.submodule("norm").named_parameters()[0].tensor().grad().defined());
}

TEST(SplitBackward, WithoutALeafTheFirstHalfIsAll) {
  Small whole(/*tied=*/false);
  Small split(/*tied=*/false);
  for (Small* model : {&whole, &split}) {
    model->submodule("norm").named_parameters()[0].tensor().set_requires_grad(false);
  }
  const at::Tensor x = numbers({3, 6}, 1);
  const at::Tensor gradient = numbers({3, 6}, 2);
  whole.call(x).backward(gradient);
  SplitBackward backward;
  at::Tensor output;
  {
    const SplitBackward::ForwardScope scope(backward);
    output = split.call(x);
  }
  backward.backward_inputs(output, gradient, {}, split.parameters());
  backward.backward_weights();
  for (const char* name : {"first", "second"}) {
    EXPECT_TRUE(split.submodule(name).named_parameters()[0].tensor().grad().equal(
        whole.submodule(name).named_parameters()[0].tensor().grad()))
        << name;
  }
}

TEST(SplitBackward, LetsGoOfWhatForwardKept) {
  Small model(/*tied=*/false);
  for (const bool finishes : {true, false}) {
    at::Tensor x = numbers({3, 6}, 1).requires_grad_();
    const c10::weak_intrusive_ptr<c10::StorageImpl> kept(
        c10::intrusive_ptr<c10::StorageImpl>::reclaim_copy(x.storage().unsafeGetStorageImpl()));
    {
      SplitBackward backward;
      at::Tensor output;
      {
        const SplitBackward::ForwardScope scope(backward);
        output = model.call(x);
      }
      if (finishes) {
        backward.backward_inputs(output, numbers({3, 6}, 2), x, model.parameters());
        backward.backward_weights();
      }
    }
    x.reset();
    EXPECT_TRUE(kept.expired());
  }
}

TEST(SplitBackward, OutsideOfACallNothingWaits) {
  Small model(/*tied=*/false);
  model.call(numbers({3, 6}, 1)).sum().backward();
  for (const at::Tensor& parameter : model.parameters()) EXPECT_TRUE(parameter.grad().defined());
}

}  // namespace
}  // namespace titan::autograd
