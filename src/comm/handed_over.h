#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <memory>

namespace titan::comm {

/// A tensor that one thread gives to others, who may read it on streams of their own: on a device it is
/// written when the giver's stream comes there. Nobody changes it any more.
class HandedOver {
 public:
  HandedOver() = default;
  /// `tensor` as the calling thread's current stream leaves it.
  explicit HandedOver(at::Tensor tensor);

  bool defined() const { return tensor_.defined(); }
  /// For the calling thread's current stream, which waits until the tensor is written. Its memory stays
  /// until this stream is done with it.
  const at::Tensor& take() const;

 private:
  at::Tensor tensor_;
  std::shared_ptr<c10::Event> written_;  // null on a CPU
};

}  // namespace titan::comm
