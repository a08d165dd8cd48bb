#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "support/rehearsal/device.h"
#include "support/rehearsal/kernel_scope.h"
#include "support/rehearsal/machine.h"

namespace titan::test::rehearsal {

inline bool is_ours(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().type() == at::DeviceType::PrivateUse1;
}

/// Has `work` done on the current stream of a device.
template <class Work>
void enqueue(at::Device where, Work work) {
  Machine::instance().enqueue(current_stream(where), [work = std::move(work)] {
    const KernelScope scope;
    work();
  });
}

inline void synchronize(at::Device where) {
  Machine::instance().synchronize(current_stream(where));
}

/// The elements of a device's tensor as the CPU's kernels see them. To be touched by work on a stream only; the
/// memory is not kept.
at::Tensor elements_of(const at::Tensor& tensor);

at::Tensor empty_on(at::Device where, at::IntArrayRef sizes, at::IntArrayRef strides,
                    at::ScalarType type);

}  // namespace titan::test::rehearsal
