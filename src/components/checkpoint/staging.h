#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "titan/components/checkpoint/dcp_state.h"

namespace titan::components {

/// Copies of a state's tensors in CPU memory, made save after save in the same buffers: page-locked for
/// tensors on a GPU.
class Staging {
 public:
  Staging();
  ~Staging();

  /// A state whose tensors are the buffers, to be filled by `copy` from `state`. Buffers are made where
  /// there is none of a tensor's sizes and type yet.
  FlatState prepare(const FlatState& state);

  /// Starts the copies of a GPU's tensors on a stream of their own, behind what its current stream has to
  /// do. Nothing to do for tensors on the CPU.
  void start();
  /// Copies what is not copied yet, and waits until the buffers hold all of it. From any thread.
  void finish();
  /// Makes the current stream of the GPU wait for the copies: what it does from here on may change
  /// the tensors.
  void let_stream_wait();

  std::uint64_t bytes() const { return bytes_; }

 private:
  struct GpuCopies;
  struct Copy {
    at::Tensor from;
    at::Tensor to;
  };
  std::vector<at::Tensor> buffers_;
  std::vector<Copy> copies_;
  std::unique_ptr<GpuCopies> gpu_;
  std::uint64_t bytes_ = 0;
};

}  // namespace titan::components
