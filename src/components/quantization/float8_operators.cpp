// What rounds to float8 as operators, because a GPU does each in one pass
// (src/cuda/float8_operators.cpp). Here: on all other devices, and there without nvcc.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp2.h>
#include <ATen/ops/floor.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/log2.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <limits>

#include "components/quantization/float8_operators.h"
#include "components/quantization/numbers.h"
#include "components/quantization/rounding_rows.h"

namespace titan::components {

namespace {

constexpr double kSmallest = 1e-12;

at::Tensor largest_entries_anywhere(const at::Tensor& matrix, std::int64_t granularity) {
  const auto which = static_cast<Granularity>(granularity);
  const std::int64_t dim = which == Granularity::kRow ? 1 : 0;
  if (matrix.is_cuda()) {  // the same in one pass
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const at::Tensor largest =
        which == Granularity::kTensor
            ? at::linalg_vector_norm(matrix, kInfinity)
            : at::linalg_vector_norm(matrix, kInfinity, dim, /*keepdim=*/true);
    return largest.to(at::kFloat);
  }
  const at::Tensor absolute = matrix.abs();
  return (which == Granularity::kTensor ? absolute.amax() : absolute.amax(dim, /*keepdim=*/true))
      .to(at::kFloat);
}

at::Tensor largest_entries_on_cpu(const at::Tensor& matrix, std::int64_t granularity) {
  const auto which = static_cast<Granularity>(granularity);
  const bool turned = is_transposed(matrix);
  const at::Tensor lying = turned ? matrix.t() : matrix.contiguous();
  const std::int64_t rows = lying.size(0);
  const std::int64_t columns = lying.size(1);
  const bool by_row = (which == Granularity::kRow) != turned;
  at::Tensor result;
  on_numbers(lying, [&](const auto* numbers) {
    if (which == Granularity::kTensor) {
      result = at::zeros({}, lying.options().dtype(at::kFloat));
      *result.mutable_data_ptr<float>() = largest_of(numbers, lying.numel());
    } else if (by_row) {
      result = at::empty({rows, 1}, lying.options().dtype(at::kFloat));
      auto* to = result.mutable_data_ptr<float>();
      for (std::int64_t row = 0; row < rows; ++row) {
        to[row] = largest_of(numbers + row * columns, columns);
      }
    } else {
      result = at::zeros({1, columns}, lying.options().dtype(at::kFloat));
      auto* to = result.mutable_data_ptr<float>();
      for (std::int64_t row = 0; row < rows; ++row) {
        take_larger(numbers + row * columns, columns, to);
      }
    }
  });
  return turned && which != Granularity::kTensor ? result.t() : result;
}

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
  library.def("largest_entries(Tensor matrix, int granularity) -> Tensor");
  library.def("float8_scales(Tensor largest, ScalarType type, bool power_of_two) -> Tensor");
  library.def(
      "cast_to_float8(Tensor matrix, Tensor scale, ScalarType type, bool by_column) -> Tensor");
  library.impl("largest_entries", c10::DispatchKey::CompositeExplicitAutograd,
               TORCH_FN(largest_entries_anywhere));
  library.impl("largest_entries", c10::DispatchKey::CPU, TORCH_FN(largest_entries_on_cpu));
  library.impl("float8_scales", c10::DispatchKey::CompositeExplicitAutograd, TORCH_FN(scales));
  library.impl("cast_to_float8", c10::DispatchKey::CompositeExplicitAutograd, TORCH_FN(cast));
}

}  // namespace

double largest_float8(at::ScalarType type) { return type == at::kFloat8_e5m2 ? 57344.0 : 448.0; }

at::Tensor largest_entries(const at::Tensor& matrix, Granularity granularity) {
  static const auto operation = c10::Dispatcher::singleton()
                                    .findSchemaOrThrow("titan::largest_entries", "")
                                    .typed<at::Tensor(const at::Tensor&, std::int64_t)>();
  return operation.call(matrix, static_cast<std::int64_t>(granularity));
}

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
