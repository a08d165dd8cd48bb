#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/Storage.h>

#include <cstdint>
#include <map>

namespace titan::parallel {

/// Memory for full parameters and for what is being sent, used again and again. On a CPU it is best kept
/// here, because the system's allocator would return large blocks to the kernel and fault them in
/// again; a GPU's caching allocator does that itself. One thread.
class BufferPool {
 public:
  /// `keeps`: whether memory that is done with stays here.
  BufferPool(at::Device device, bool keeps);

  /// A storage without memory, for tensors that live longer than their contents.
  c10::Storage make_storage() const;
  /// Gives a storage at least `bytes` of memory, with arbitrary contents.
  void fill(const c10::Storage& storage, std::int64_t bytes);
  /// Takes the memory of a storage back; its tensors must not be touched until it is filled again.
  void drain(const c10::Storage& storage);

  /// A tensor `[elements]` with memory of the pool; goes back with `drain(tensor.storage())`.
  at::Tensor take(std::int64_t elements, at::ScalarType dtype);

 private:
  at::Device device_;
  bool keeps_;
  c10::Allocator* allocator_;
  std::multimap<std::int64_t, c10::DataPtr> free_;  // by bytes
};

}  // namespace titan::parallel
