#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "comm/shared_memory.h"

namespace titan::comm {

/// Memory of messages that other processes read, which is used again when nobody holds it any more. Each piece begins with a header.
/// Any thread; made by `make_shared`.
class MessageMemory : public std::enable_shared_from_this<MessageMemory> {
 public:
  /// Bytes of the header, and where a message may begin.
  static constexpr std::size_t kHeader = 64;

  /// The receiver's: a message is used where it lies, until what is returned is called.
  static std::function<void()> borrow(std::shared_ptr<SharedMemory> memory);
  /// The sender's: whether a receiver uses it.
  static bool is_lent(const SharedMemory& memory);

  /// At least `bytes` behind the header. Throws std::runtime_error where there is none left.
  std::shared_ptr<SharedMemory> take(std::size_t bytes);

  /// A tensor `[elements]` in such memory, which it holds.
  at::Tensor outgoing(std::int64_t elements, at::ScalarType type);
  /// The memory that a tensor made by `outgoing`, or a part of it, lies in; null: another tensor.
  std::shared_ptr<SharedMemory> of(const at::Tensor& tensor) const;

 private:
  void give_back(std::unique_ptr<SharedMemory> memory);

  std::mutex mutex_;
  std::multimap<std::size_t, std::unique_ptr<SharedMemory>> free_;
};

/// A tensor `[elements]` without memory, and whether one is such.
at::Tensor without_memory(std::int64_t elements, at::ScalarType type);
bool is_without_memory(const at::Tensor& tensor);
/// Gives it memory of its own.
std::byte* allocate(const at::Tensor& tensor);
/// Has it lie at `data`; `let_go` is called when its last user is gone, by any thread.
void lay_at(const at::Tensor& tensor, const std::byte* data, std::function<void()> let_go);

}  // namespace titan::comm
