#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace titan::comm {

/// Lends memory of CPUs and keeps what comes back, because fresh pages cost as much as a copy. Any
/// thread.
class ScratchPool : public std::enable_shared_from_this<ScratchPool> {
 public:
  /// A tensor `[elements]` of undefined content, which comes back when the last copy of the pointer
  /// goes. The pool need not outlive it.
  std::shared_ptr<const at::Tensor> lend(std::int64_t elements, at::ScalarType type);

 private:
  at::Tensor take(std::int64_t bytes);
  void give_back(at::Tensor buffer);

  std::mutex mutex_;
  std::vector<at::Tensor> free_;  // bytes, smallest first
};

}  // namespace titan::comm
