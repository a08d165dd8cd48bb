// Graphs of the rehearsal device: that they keep work, and memory, as CUDA's do.
#include "support/rehearsal/graphs.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/rehearsal/device.h"

namespace titan::test::rehearsal {
namespace {

using ::testing::HasSubstr;

class Graphs : public ::testing::Test {
 protected:
  Graphs() { use_rehearsal_device(); }

  std::unique_ptr<tools::DeviceGraph> capture(const std::function<void()>& work) {
    const c10::StreamGuard on_stream(stream_);
    return capture_->capture(work);
  }
  /// What is thrown where `work` is captured.
  std::string refusal(const std::function<void()>& work) {
    return text_of([&] { capture(work); });
  }
  static std::string text_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const std::exception& error) {
      return error.what();
    }
    return "nothing was thrown";
  }
  at::Tensor full(double value) { return at::full({1000}, value, here_); }

  at::TensorOptions here_ = at::TensorOptions().device(device(0));
  c10::impl::VirtualGuardImpl guard_{device(0).type()};
  c10::Stream stream_ = guard_.getStreamFromGlobalPool(device(0), false);
  std::unique_ptr<tools::GraphCapture> capture_ = make_graph_capture(device(0));
};

TEST_F(Graphs, DoNothingWhenCapturedAndAllWhenReplayed) {
  const at::Tensor x = full(1);
  at::Tensor twice;
  const auto graph = capture([&] {
    x.add_(1);
    twice = x * 2;
  });
  EXPECT_EQ(x.max().item<float>(), 1);
  for (const float value : {2, 3}) {
    graph->replay();
    EXPECT_EQ(twice.max().item<float>(), 2 * value);
    EXPECT_EQ(x.max().item<float>(), value);
  }
  x.fill_(10);
  graph->replay();
  EXPECT_EQ(twice.min().item<float>(), 22);
}

TEST_F(Graphs, KeepTheirMemoryToThemselves) {
  at::Tensor x = full(1);
  at::Tensor result;
  const auto graph = capture([&] { result = (x + 1) * 2; });  // x + 1 is freed before the end
  const std::vector<at::Tensor> others(20, full(5));
  graph->replay();
  for (const at::Tensor& other : others) EXPECT_EQ(other.max().item<float>(), 5);
  EXPECT_EQ(result.max().item<float>(), 4);
}

/// As a captured pool does: what is held stays, what was freed is another graph's too.
TEST_F(Graphs, OfOneCaptureShareWhatTheyHaveFreed) {
  const at::Tensor x = full(1);
  at::Tensor first;
  at::Tensor second;
  const auto one = capture([&] { first = (x + 1) * 2; });
  const auto other = capture([&] { second = first + 1; });  // lies where x + 1 was
  one->replay();
  other->replay();
  EXPECT_EQ(first.max().item<float>(), 4);
  EXPECT_EQ(second.max().item<float>(), 5);
  one->replay();
  EXPECT_EQ(first.max().item<float>(), 4);
  EXPECT_NE(second.max().item<float>(), 5) << "lost in the other's replay";
}

TEST_F(Graphs, ReadWhatHasTakenThePlaceOfAFreedTensor) {
  at::Tensor x = full(1);
  at::Tensor result;
  const auto graph = capture([&] { result = x + 1; });
  const void* place = x.const_data_ptr();
  x = at::Tensor();
  std::vector<at::Tensor> others;
  do {
    others.push_back(full(7));
  } while (others.back().const_data_ptr() != place);
  graph->replay();
  EXPECT_EQ(result.max().item<float>(), 8);
}

TEST_F(Graphs, TellWhoWaitsOrAsks) {
  const at::Tensor x = full(1);
  const c10::Stream current = guard_.getStream(device(0));
  c10::Event before(device(0).type());
  before.record(current);
  EXPECT_THAT(refusal([&] { x.sum().item<float>(); }),
              HasSubstr("in a capture elements of the host"));
  EXPECT_THAT(refusal([&] { x.cpu(); }), HasSubstr("in a capture elements of the host"));
  EXPECT_THAT(refusal([&] { at::ones({1000}).to(device(0)); }), HasSubstr("elements of the host"));
  EXPECT_THAT(refusal([&] { guard_.synchronizeStream(stream_); }), HasSubstr("the host waited"));
  EXPECT_THAT(refusal([&] { guard_.synchronizeDevice(0); }), HasSubstr("the host waited"));
  EXPECT_THAT(refusal([&] { x.nonzero(); }), HasSubstr("in a capture")) << "its size";
  EXPECT_THAT(refusal([&] { before.block(stream_); }), HasSubstr("was to wait for another"));
  EXPECT_THAT(refusal([&] { at::globalContext().defaultGenerator(device(0)); }),
              HasSubstr("random numbers"));
  c10::Event within(device(0).type());
  capture([&] { within.record(stream_); });
  EXPECT_THAT(text_of([&] { within.block(current); }), HasSubstr("a moment of a capture"));
  EXPECT_THAT(text_of([&] { capture_->capture([] {}); }), HasSubstr("default stream"));
}

TEST_F(Graphs, ACaptureThatFailsIsOver) {
  refusal([&] { full(1).sum().item<float>(); });
  const c10::StreamGuard on_stream(stream_);
  EXPECT_EQ(full(3).max().item<float>(), 3);
}

}  // namespace
}  // namespace titan::test::rehearsal
