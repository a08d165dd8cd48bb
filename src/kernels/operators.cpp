#include "kernels/operators.h"

#include <torch/library.h>

namespace titan::kernels {

TORCH_LIBRARY(titan_kernels, library) {
  define_attention(library);
  define_cross_entropy(library);
  define_experts(library);
  define_linear(library);
  define_rms_norm(library);
  define_rotate(library);
  define_routed_rows(library);
  define_swiglu(library);
}

c10::OperatorHandle find_schema(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "");
}

}  // namespace titan::kernels
