// CUDA graphs on a GPU: that autograd's thread is captured, and that a capture which fails leaves the stream usable
// (scripts/gpu_first_hour.sh). Skipped without one.
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include "titan/tools/accelerator.h"

namespace titan::cuda {
namespace {

using at::Tensor;

class GraphsOnGpu : public testing::Test {
 protected:
  void SetUp() override {
    const tools::AcceleratorSearch search = tools::find_accelerator();
    if (search.accelerator == nullptr) GTEST_SKIP() << search.reason;
    at::globalContext().lazyInitDevice(at::kCUDA);
    at::manual_seed(1);
    capture_ = search.accelerator->make_graph_capture(0);
  }

  static c10::Stream side_stream() {
    return c10::impl::VirtualGuardImpl(at::kCUDA).getStreamFromGlobalPool({at::kCUDA, 0}, false);
  }
  static void wait_for_gpu() { c10::impl::VirtualGuardImpl(at::kCUDA).synchronizeDevice(0); }

  std::unique_ptr<tools::GraphCapture> capture_;
};

TEST_F(GraphsOnGpu, BackwardIsReplayedOnWhatIsThereThen) {
  const Tensor x = at::randn({64, 64}).to(at::kCUDA);
  const Tensor weight = at::randn({64, 64}).to(at::kCUDA).requires_grad_(true);
  const auto step = [&] {
    const Tensor loss = at::mm(x, weight).square().sum();
    loss.backward();
    return loss.detach();
  };
  wait_for_gpu();
  Tensor loss;
  std::unique_ptr<tools::DeviceGraph> graph;
  {
    const c10::StreamGuard on_stream(side_stream());
    for (int i = 0; i < 3; ++i) {
      weight.mutable_grad() = Tensor();
      step();
    }
    weight.mutable_grad() = Tensor();
    graph = capture_->capture([&] { loss = step(); });
  }
  const Tensor gradient = weight.grad();
  for (int i = 0; i < 3; ++i) {
    x.copy_(at::randn({64, 64}));
    graph->replay();
    const Tensor replayed = gradient.clone();
    weight.mutable_grad() = Tensor();
    EXPECT_TRUE(step().equal(loss));
    EXPECT_TRUE(weight.grad().equal(replayed));
  }
}

TEST_F(GraphsOnGpu, WhoWaitsIsToldSoAndTheStreamGoesOn) {
  const Tensor x = at::randn({64}).to(at::kCUDA);
  wait_for_gpu();
  const c10::StreamGuard on_stream(side_stream());
  EXPECT_ANY_THROW(capture_->capture([&] { x.sum().item<float>(); }));
  EXPECT_EQ((x - x).sum().item<float>(), 0);
}

}  // namespace
}  // namespace titan::cuda
