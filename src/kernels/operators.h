#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace torch {
class Library;
}

namespace titan::kernels {

// Kernels are operators, each with its shapes on the meta device, so that dispatch modes - the save list of
// selective checkpointing, the forecast, traces - see them as they see aten::mm. Autograd is around them, not in
// them.

void define_attention(torch::Library& library);
void define_cross_entropy(torch::Library& library);
void define_experts(torch::Library& library);
void define_linear(torch::Library& library);
void define_rms_norm(torch::Library& library);
void define_rotate(torch::Library& library);
void define_routed_rows(torch::Library& library);
void define_swiglu(torch::Library& library);

/// Beside the operators' registration, so that who looks for one has them all linked.
c10::OperatorHandle find_schema(const char* name);

/// The operator "titan_kernels::rms_norm" and the like.
template <class Signature>
c10::TypedOperatorHandle<Signature> find_operator(const char* name) {
  return find_schema(name).typed<Signature>();
}

}  // namespace titan::kernels
