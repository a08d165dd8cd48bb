#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "titan/comm/process_group.h"

namespace titan::comm {

class MessageMemory;

/// Carries the bytes of contiguous CPU tensors between any two members of a group. Between two of them the messages of a tag
/// arrive in order. Any thread. The tensors live until the wait is over; works live no longer than their wire.
class Wire {
 public:
  explicit Wire(std::chrono::milliseconds limit) : timeout(limit) {}
  virtual ~Wire() = default;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  /// `to` and `from` are places in the group. A wait throws std::runtime_error when the peer is gone or the time is over, of
  /// which the others learn. A receive that nobody waits for takes its message all the same.
  virtual std::unique_ptr<BackendWork> send(const at::Tensor& tensor, std::int64_t to, int tag) = 0;
  virtual std::unique_ptr<BackendWork> receive(const at::Tensor& tensor, std::int64_t from,
                                               int tag) = 0;
  /// Where members see each other's memory, that of messages: tensors that lie in it are sent without a copy, tensors without
  /// memory come to lie in the sender's. Else null.
  virtual std::shared_ptr<MessageMemory> memory() const { return nullptr; }
  /// Returns when the others have what was sent.
  virtual void shut_down() {}

  /// Of waits that begin from now on.
  std::atomic<std::chrono::milliseconds> timeout;
};

}  // namespace titan::comm
