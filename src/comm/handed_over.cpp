#include "comm/handed_over.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

namespace titan::comm {

namespace {

c10::Stream current_stream(const at::Tensor& tensor) {
  return c10::impl::VirtualGuardImpl(tensor.device().type()).getStream(tensor.device());
}

}  // namespace

HandedOver::HandedOver(at::Tensor tensor) : tensor_(std::move(tensor)) {
  if (!tensor_.defined() || tensor_.is_cpu()) return;
  written_ = std::make_shared<c10::Event>(tensor_.device().type());
  written_->record(current_stream(tensor_));
}

const at::Tensor& HandedOver::take() const {
  if (written_) {
    const c10::Stream stream = current_stream(tensor_);
    written_->block(stream);
    c10::impl::VirtualGuardImpl(tensor_.device().type())
        .recordDataPtrOnStream(tensor_.storage().data_ptr(), stream);
  }
  return tensor_;
}

}  // namespace titan::comm
