#include "comm/operators.h"

#include <torch/library.h>

namespace titan::comm {

namespace {

// Communication as operators, so that every dispatch mode (the save list of selective checkpointing, the
// forecast, traces) and the profiler see it as they see aten::mm. Their kernels are the same for all
// devices: the group knows what to do.
TORCH_LIBRARY(titan, library) {
  library.class_<GroupHandle>("Group");

  // Differentiable, of new tensors; see autograd_collectives.h.
  library.def(
      "all_gather(Tensor part, int dim, __torch__.torch.classes.titan.Group group) -> Tensor");
  library.def(
      "reduce_scatter(Tensor whole, int dim, __torch__.torch.classes.titan.Group group) -> Tensor");
  library.def("all_reduce(Tensor part, __torch__.torch.classes.titan.Group group) -> Tensor");
  library.def(
      "all_to_all(Tensor rows, int[] output_splits, int[] input_splits,"
      " __torch__.torch.classes.titan.Group group) -> Tensor");

  // Asynchronous, into tensors that are there; see ProcessGroup. What is under way stays in the handle.
  library.def(
      "start_all_reduce(Tensor(a!) tensor, bool maximum,"
      " __torch__.torch.classes.titan.Group group) -> ()");
  library.def(
      "start_all_reduce_coalesced(Tensor(a!)[] tensors,"
      " __torch__.torch.classes.titan.Group group) -> ()");
  library.def(
      "start_all_gather(Tensor(a!) output, Tensor input,"
      " __torch__.torch.classes.titan.Group group) -> ()");
  library.def(
      "start_reduce_scatter(Tensor(a!) output, Tensor input,"
      " __torch__.torch.classes.titan.Group group) -> ()");
  library.def(
      "start_all_to_all(Tensor(a!) output, Tensor input, int[] output_splits, int[] input_splits,"
      " __torch__.torch.classes.titan.Group group) -> ()");
  library.def(
      "start_broadcast(Tensor(a!) tensor, int root,"
      " __torch__.torch.classes.titan.Group group) -> ()");
  library.def(
      "start_exchange(Tensor[] sent, int[] destinations, Tensor(a!)[] received, int[] sources,"
      " __torch__.torch.classes.titan.Group group) -> ()");
}

// In this file, because a kernel can be registered only once the class of its argument is.
TORCH_LIBRARY_IMPL(titan, CompositeExplicitAutograd, library) {
  library.impl("all_gather", Kernels::all_gather);
  library.impl("reduce_scatter", Kernels::reduce_scatter);
  library.impl("all_reduce", Kernels::all_reduce);
  library.impl("all_to_all", Kernels::all_to_all);
  library.impl("start_all_reduce", StartKernels::all_reduce);
  library.impl("start_all_reduce_coalesced", StartKernels::all_reduce_coalesced);
  library.impl("start_all_gather", StartKernels::all_gather);
  library.impl("start_reduce_scatter", StartKernels::reduce_scatter);
  library.impl("start_all_to_all", StartKernels::all_to_all);
  library.impl("start_broadcast", StartKernels::broadcast);
  library.impl("start_exchange", StartKernels::exchange);
}

TORCH_LIBRARY_IMPL(titan, Autograd, library) {
  library.impl("all_gather", AutogradKernels::all_gather);
  library.impl("reduce_scatter", AutogradKernels::reduce_scatter);
  library.impl("all_reduce", AutogradKernels::all_reduce);
  library.impl("all_to_all", AutogradKernels::all_to_all);
  // Autograd knows nothing of what is written while the caller goes on.
  for (const char* name :
       {"start_all_reduce", "start_all_reduce_coalesced", "start_all_gather",
        "start_reduce_scatter", "start_all_to_all", "start_broadcast", "start_exchange"}) {
    library.impl(name, torch::CppFunction::makeFallthrough());
  }
}

}  // namespace

Group handle_of(ProcessGroup& group) { return c10::make_intrusive<GroupHandle>(group); }

}  // namespace titan::comm
