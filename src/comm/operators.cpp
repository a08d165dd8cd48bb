#include "comm/operators.h"

#include <torch/library.h>

namespace titan::comm {

// In one place, because an operator can be registered only once the class of its argument is.
TORCH_LIBRARY(titan, library) {
  library.class_<GroupHandle>("Group");
  define_differentiable_operators(library);
  define_overlapped_operators(library);
  define_ring_attention(library);
  StartOperators::define(library);
}

Group handle_of(ProcessGroup& group) { return c10::make_intrusive<GroupHandle>(group); }

std::string with_group(const std::string& name_and_arguments, const char* results) {
  return name_and_arguments + ", __torch__.torch.classes.titan.Group group) -> " + results;
}

}  // namespace titan::comm
