// What rounds to float8 as operators, because a GPU does each in one pass
// (src/cuda/float8_operators.cpp). Here: on all other devices, and there without nvcc.
#include <ATen/TensorOperators.h>
#include <ATen/ops/exp2.h>
#include <ATen/ops/floor.h>
#include <ATen/ops/log2.h>
#include <torch/library.h>

#include "components/quantization/float8_operators.h"

namespace titan::components {

namespace {

constexpr double kSmallest = 1e-12;

at::Tensor scales(const at::Tensor& largest, at::ScalarType type, bool power_of_two) {
  at::Tensor scale =
      (largest_float8(type) / largest.to(at::kDouble).clamp_min(kSmallest)).to(at::kFloat);
  // By arithmetic as torchao does, which next to powers of two differs from cutting off bits.
  return power_of_two ? at::exp2(at::floor(at::log2(scale))) : scale;
}

at::Tensor cast(const at::Tensor& matrix, const at::Tensor& scale, at::ScalarType type,
                bool by_column) {
  const double largest = largest_float8(type);
  // The cast does not saturate by itself.
  const at::Tensor rounded = (matrix.to(at::kFloat) * scale).clamp_(-largest, largest).to(type);
  return by_column ? rounded.t().contiguous().t() : rounded.contiguous();
}

TORCH_LIBRARY_FRAGMENT(titan, library) {
  library.def("float8_scales(Tensor largest, ScalarType type, bool power_of_two) -> Tensor");
  library.def(
      "cast_to_float8(Tensor matrix, Tensor scale, ScalarType type, bool by_column) -> Tensor");
  library.impl("float8_scales", c10::DispatchKey::CompositeExplicitAutograd, TORCH_FN(scales));
  library.impl("cast_to_float8", c10::DispatchKey::CompositeExplicitAutograd, TORCH_FN(cast));
}

}  // namespace

double largest_float8(at::ScalarType type) { return type == at::kFloat8_e5m2 ? 57344.0 : 448.0; }

at::Tensor float8_scales(const at::Tensor& largest, at::ScalarType type, bool power_of_two) {
  static const auto operation = c10::Dispatcher::singleton()
                                    .findSchemaOrThrow("titan::float8_scales", "")
                                    .typed<decltype(float8_scales)>();
  return operation.call(largest, type, power_of_two);
}

at::Tensor cast_to_float8(const at::Tensor& matrix, const at::Tensor& scale, at::ScalarType type,
                          bool by_column) {
  static const auto operation = c10::Dispatcher::singleton()
                                    .findSchemaOrThrow("titan::cast_to_float8", "")
                                    .typed<decltype(cast_to_float8)>();
  return operation.call(matrix, scale, type, by_column);
}

}  // namespace titan::components
