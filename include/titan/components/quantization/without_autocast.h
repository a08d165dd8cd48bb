#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace titan::components {

/// Products of numbers that have been rounded already take them as they are, whatever a surrounding
/// autocast says.
struct WithoutAutocast {
  c10::impl::ExcludeDispatchKeyGuard guard{c10::autocast_dispatch_keyset};
};

/// x in the type of a surrounding autocast, as a linear layer would take it.
at::Tensor in_autocast_type(const at::Tensor& x);

}  // namespace titan::components
