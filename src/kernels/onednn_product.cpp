#include "titan/kernels/onednn_product.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <optional>

namespace titan::kernels {

at::Tensor multiply_on_onednn(const at::Tensor& x, const at::Tensor& weight) {
  // LibTorch's own operator for its compiler.
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "");
  torch::jit::Stack stack;
  torch::jit::push(stack, x, weight, /*bias=*/c10::IValue(), /*attr=*/"none",
                   c10::List<std::optional<at::Scalar>>(), "");
  op.callBoxed(&stack);
  return torch::jit::pop(stack).toTensor();
}

}  // namespace titan::kernels
