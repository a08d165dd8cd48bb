// The hooked autograd engine on a device that has a thread in it.
#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/engine.h>

#include "support/rehearsal/device.h"
#include "titan/autograd/saved_tensor_hooks.h"

namespace titan::test::rehearsal {
namespace {

/// Keeps tensors as they are.
class Keeping : public autograd::SavedTensorHooks {
 public:
  explicit Keeping(int& unpacked) : unpacked_(unpacked) {}
  void call_pack_hook(const at::Tensor& tensor) override { tensor_ = tensor; }
  at::Tensor call_unpack_hook() override {
    ++unpacked_;
    return tensor_;
  }

 private:
  at::Tensor tensor_;
  int& unpacked_;
};

double gradient_of_square() {
  const at::Tensor x = at::ones({3}, at::TensorOptions().device(device(0))).set_requires_grad(true);
  const at::Tensor y = (x * x).sum();
  y.backward();
  return x.grad().sum().item<double>();
}

/// As generation, or a forecast, before training.
TEST(Engine, ABackwardBeforeTheFirstHooksIsTheSameEngines) {
  use_rehearsal_device();
  const auto* before = &torch::autograd::Engine::get_default_engine();
  EXPECT_EQ(gradient_of_square(), 6);
  int unpacked = 0;
  {
    const autograd::SavedTensorHooksScope scope(
        [&] { return std::make_unique<Keeping>(unpacked); });
    EXPECT_EQ(gradient_of_square(), 6);
  }
  EXPECT_EQ(unpacked, 2);
  EXPECT_EQ(&torch::autograd::Engine::get_default_engine(), before);
}

}  // namespace
}  // namespace titan::test::rehearsal
