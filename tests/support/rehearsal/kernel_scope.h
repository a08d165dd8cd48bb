#pragma once

#include <ATen/record_function.h>
#include <c10/core/DispatchKeySet.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace titan::test::rehearsal {

/// Whatever the calling thread has turned on - autograd, modes, autocast, profilers - is not for kernels.
struct KernelScope {
  c10::NoGradGuard no_grad;
  c10::impl::ForceDispatchKeyGuard keys{c10::DispatchKeySet(c10::DispatchKey::BackendSelect),
                                        c10::autograd_dispatch_keyset |
                                            c10::autocast_dispatch_keyset |
                                            c10::DispatchKeySet(c10::DispatchKey::ADInplaceOrView)};
  at::DisableRecordFunctionGuard quiet;
};

}  // namespace titan::test::rehearsal
