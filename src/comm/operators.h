#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>

#include "titan/comm/process_group.h"

namespace titan::comm {

/// A process group as an argument of operators, which the dispatcher can carry on its stack: no names,
/// because ranks may be threads of one process. The group outlives it.
class GroupHandle : public torch::CustomClassHolder {
 public:
  explicit GroupHandle(ProcessGroup& of) : group(of) {}

  ProcessGroup& group;
  Work started;  // by an operator `titan::start_*`, for its caller to take
};

using Group = c10::intrusive_ptr<GroupHandle>;

Group handle_of(ProcessGroup& group);

/// What the differentiable operators do (autograd_collectives.cpp).
struct Kernels {
  static at::Tensor all_gather(const at::Tensor& part, std::int64_t dim, const Group& group);
  static at::Tensor reduce_scatter(const at::Tensor& whole, std::int64_t dim, const Group& group);
  static at::Tensor all_reduce(const at::Tensor& part, const Group& group);
  static at::Tensor all_to_all(const at::Tensor& rows, at::IntArrayRef output_splits,
                               at::IntArrayRef input_splits, const Group& group);
};

/// The same, with what autograd has to know; `keys` are those of the call.
struct AutogradKernels {
  static at::Tensor all_gather(c10::DispatchKeySet keys, const at::Tensor& part, std::int64_t dim,
                               const Group& group);
  static at::Tensor reduce_scatter(c10::DispatchKeySet keys, const at::Tensor& whole,
                                   std::int64_t dim, const Group& group);
  static at::Tensor all_reduce(c10::DispatchKeySet keys, const at::Tensor& part,
                               const Group& group);
  static at::Tensor all_to_all(c10::DispatchKeySet keys, const at::Tensor& rows,
                               at::IntArrayRef output_splits, at::IntArrayRef input_splits,
                               const Group& group);
};

/// What the operators `titan::start_*` do (started_collectives.cpp).
struct StartKernels {
  static void all_reduce(const at::Tensor& tensor, bool maximum, const Group& group);
  static void all_reduce_coalesced(at::TensorList tensors, const Group& group);
  static void all_gather(const at::Tensor& output, const at::Tensor& input, const Group& group);
  static void reduce_scatter(const at::Tensor& output, const at::Tensor& input, const Group& group);
  static void all_to_all(const at::Tensor& output, const at::Tensor& input,
                         at::IntArrayRef output_splits, at::IntArrayRef input_splits,
                         const Group& group);
  static void broadcast(const at::Tensor& tensor, std::int64_t root, const Group& group);
  static void exchange(at::TensorList sent, at::IntArrayRef destinations, at::TensorList received,
                       at::IntArrayRef sources, const Group& group);
};

/// The operator "titan::all_gather" and the like, as operators.cpp declares it. Signatures have
/// `const at::Tensor&` and `const Group&`.
template <class Signature>
c10::TypedOperatorHandle<Signature> find_operator(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

}  // namespace titan::comm
