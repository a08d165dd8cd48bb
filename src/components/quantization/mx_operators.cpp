#include "components/quantization/mx_operators.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/constant_pad_nd.h>
#include <torch/library.h>

namespace titan::components {

namespace {

using TwoTensors = std::tuple<at::Tensor, at::Tensor>;

TwoTensors cast_anywhere(const at::Tensor& matrix, std::int64_t scaling) {
  const MXTensor rounded = to_mx(matrix.contiguous(), static_cast<MXScaling>(scaling));
  return {rounded.values, swizzled(rounded.exponents).view(at::kFloat8_e8m0fnu)};
}

TORCH_LIBRARY_FRAGMENT(titan, library) {
  library.def("cast_to_mx(Tensor matrix, int scaling) -> (Tensor, Tensor)");
  library.impl("cast_to_mx", c10::DispatchKey::CompositeExplicitAutograd, TORCH_FN(cast_anywhere));
}

}  // namespace

at::Tensor swizzled(const at::Tensor& exponents) {
  const std::int64_t rows = (exponents.size(0) + 127) / 128;
  const std::int64_t columns = (exponents.size(1) + 3) / 4;
  return at::constant_pad_nd(
             exponents, {0, columns * 4 - exponents.size(1), 0, rows * 128 - exponents.size(0)})
      .view({rows, 4, 32, columns, 4})
      .permute({0, 3, 2, 1, 4})
      .flatten();
}

TwoTensors cast_to_mx(const at::Tensor& matrix, MXScaling scaling) {
  static const auto operation = c10::Dispatcher::singleton()
                                    .findSchemaOrThrow("titan::cast_to_mx", "")
                                    .typed<TwoTensors(const at::Tensor&, std::int64_t)>();
  return operation.call(matrix, static_cast<std::int64_t>(scaling));
}

}  // namespace titan::components
