#include "components/checkpoint/staging.h"

#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

namespace titan::components {

/// A stream that does nothing but copies from a GPU, and the end of the last of them.
struct Staging::GpuCopies {
  explicit GpuCopies(at::Device of)
      : guard(of.type()),
        device(of),
        stream(guard.getStreamFromGlobalPool(of)),
        begin(of.type()),
        end(of.type()) {}

  c10::impl::VirtualGuardImpl guard;
  at::Device device;
  c10::Stream stream;
  c10::Event begin;
  c10::Event end;
};

Staging::Staging() = default;
Staging::~Staging() = default;

FlatState Staging::prepare(const FlatState& state) {
  FlatState staged;
  staged.objects = state.objects;
  copies_.clear();
  bytes_ = 0;
  buffers_.resize(state.tensors.size());
  for (std::size_t i = 0; i < state.tensors.size(); ++i) {
    const at::Tensor& from = state.tensors[i].tensor;
    at::Tensor& buffer = buffers_[i];
    if (!buffer.defined() || buffer.sizes() != from.sizes() ||
        buffer.scalar_type() != from.scalar_type()) {
      buffer = at::empty(from.sizes(), at::TensorOptions()
                                           .dtype(from.scalar_type())
                                           .device(at::kCPU)
                                           .pinned_memory(from.is_cuda()));
    }
    bytes_ += buffer.nbytes();
    copies_.push_back({from, buffer});
    staged.tensors.push_back({state.tensors[i].path, buffer, state.tensors[i].box});
  }
  return staged;
}

void Staging::start() {
  for (const Copy& copy : copies_) {
    if (copy.from.is_cpu()) continue;
    if (!gpu_) gpu_ = std::make_unique<GpuCopies>(copy.from.device());
    break;
  }
  if (!gpu_) return;
  gpu_->begin.record(gpu_->guard.getStream(gpu_->device));
  gpu_->begin.block(gpu_->stream);
  const c10::StreamGuard on_own_stream(gpu_->stream);
  const c10::NoGradGuard no_grad;
  for (const Copy& copy : copies_) {
    if (!copy.from.is_cpu()) copy.to.copy_(copy.from, /*non_blocking=*/true);
  }
  gpu_->end.record(gpu_->stream);
}

void Staging::finish() {
  const c10::NoGradGuard no_grad;
  for (const Copy& copy : copies_) {
    if (copy.from.is_cpu()) copy.to.copy_(copy.from);
  }
  if (gpu_) {
    // In a thread whose current device is the first, to wait would open a context there.
    const c10::DeviceGuard current_device(gpu_->device);
    gpu_->end.synchronize();
  }
  copies_.clear();  // lets go of the tensors
}

void Staging::let_stream_wait() {
  if (gpu_) gpu_->end.block(gpu_->guard.getStream(gpu_->device));
}

}  // namespace titan::components
