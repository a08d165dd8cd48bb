#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>

#include <string>

#include "titan/comm/process_group.h"

namespace torch {
class Library;
}

namespace titan::comm {

// Communication as operators, so that every dispatch mode (the save list of selective checkpointing, the
// forecast, traces) and the profiler see it as they see aten::mm. Their kernels are the same for all
// devices: the group knows what to do.

/// A process group as an argument of operators, which the dispatcher can carry on its stack: no names,
/// because ranks may be threads of one process. The group outlives it.
class GroupHandle : public torch::CustomClassHolder {
 public:
  explicit GroupHandle(ProcessGroup& of) : group(of) {}

  ProcessGroup& group;
  Work started;         // by an operator `titan::start_*`, for its caller to take
  at::Tensor arriving;  // in backward: gradients of rows that were sent (`begin_all_to_all`)
};

using Group = c10::intrusive_ptr<GroupHandle>;

Group handle_of(ProcessGroup& group);

/// "all_gather(Tensor part, int dim" with the group as the last argument of a schema.
std::string with_group(const std::string& name_and_arguments, const char* results);

/// Those of autograd_collectives.h: differentiable, of new tensors.
void define_differentiable_operators(torch::Library& library);

/// Those of overlapped_products.h.
void define_overlapped_operators(torch::Library& library);

/// That of ring_attention.h.
void define_ring_attention(torch::Library& library);

/// Those of ProcessGroup: asynchronous, into tensors that are there. What is under way stays in the handle.
struct StartOperators {
  static void define(torch::Library& library);
};

/// The operator "titan::all_gather" and the like. Signatures have `const at::Tensor&` and `const Group&`.
template <class Signature>
c10::TypedOperatorHandle<Signature> find_operator(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

}  // namespace titan::comm
