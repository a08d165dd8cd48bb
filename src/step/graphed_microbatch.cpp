#include "titan/step/graphed_microbatch.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::step {

namespace {

/// What `to` is given from now on begins behind what `from` has been given.
void order(const c10::Stream& from, const c10::Stream& to) {
  c10::Event event(from.device_type());
  event.record(from);
  event.block(to);
}

RunError cannot_be_captured(const std::string& why) {
  return RunError(
      concat("compile.cuda_graphs: forward and backward of a microbatch cannot be captured: ", why,
             ". --compile.no-cuda_graphs trains without graphs."));
}

}  // namespace

GraphedMicrobatch::GraphedMicrobatch(tools::GraphCapture& capture, at::Device device,
                                     parallel::Parameters parameters)
    : capture_(capture),
      device_(device),
      parameters_(std::move(parameters)),
      stream_(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, false)) {}

at::Tensor GraphedMicrobatch::run(protocols::Batch& batch, const at::Tensor& valid_tokens,
                                  bool pinned, const Work& work) {
  fill(batch, valid_tokens, pinned);
  const bool adds = std::ranges::any_of(
      parameters_, [](const nn::Parameter* p) { return p->tensor.grad().defined(); });
  if (!adds) ++steps_;
  if (steps_ <= kWarmUps) return warm_up(work);
  Graph& graph = adds ? adds_gradients_ : makes_gradients_;
  if (!graph.graph) capture(graph, work);
  return replay(graph);
}

void GraphedMicrobatch::fill(protocols::Batch& batch, const at::Tensor& valid_tokens, bool pinned) {
  if (!batch_.input.defined()) {
    const auto ids = at::TensorOptions().dtype(at::kLong).device(device_);
    batch_ = {at::empty({batch.rows, batch.seq_len}, ids),
              at::empty({batch.rows, batch.seq_len}, ids)};
    valid_tokens_ = at::empty_like(valid_tokens);
  }
  copy_to(batch_, batch, pinned);
  valid_tokens_.copy_(valid_tokens);
}

at::Tensor GraphedMicrobatch::warm_up(const Work& work) {
  const c10::Stream current = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
  order(current, stream_);
  at::Tensor loss;
  {
    const c10::StreamGuard on_stream(stream_);
    loss = work(batch_, valid_tokens_);
  }
  order(stream_, current);
  return loss;
}

void GraphedMicrobatch::capture(Graph& graph, const Work& work) {
  {
    const c10::StreamGuard on_stream(stream_);
    try {
      graph.graph = capture_.capture([&] { graph.loss = work(batch_, valid_tokens_); });
    } catch (const c10::OutOfMemoryError&) {
      throw;  // whose reader adds what the job needs
    } catch (const c10::Error& error) {
      throw cannot_be_captured(error.what_without_backtrace());
    } catch (const std::exception& error) {
      throw cannot_be_captured(error.what());
    }
  }
  graph.gradients = gradients();
  if (!addresses_.empty()) return;
  for (const nn::Parameter* parameter : parameters_) {
    addresses_.push_back(parameter->tensor.const_data_ptr());
  }
  tools::log_info("Forward and backward are replayed from now on (compile.cuda_graphs)");
}

at::Tensor GraphedMicrobatch::replay(Graph& graph) {
  check_addresses();
  graph.graph->replay();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    parameters_[i]->tensor.mutable_grad() = graph.gradients[i];
  }
  // The graph's own is overwritten by the next replay.
  return graph.loss.clone();
}

void GraphedMicrobatch::check_addresses() const {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    TITAN_CHECK(parameters_[i]->tensor.const_data_ptr() == addresses_[i],
                "a parameter has moved since its step was captured");
  }
}

std::vector<at::Tensor> GraphedMicrobatch::gradients() const {
  std::vector<at::Tensor> gradients;
  for (const nn::Parameter* parameter : parameters_) {
    gradients.push_back(parameter->tensor.grad());
  }
  return gradients;
}

}  // namespace titan::step
