#include "components/quantization/emulated_operators.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp2.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>

#include "components/quantization/float8_operators.h"
#include "components/quantization/numbers.h"
#include "components/quantization/rounding_rows.h"
#include "titan/base/errors.h"

namespace titan::components {

namespace {

using at::Tensor;

constexpr std::int64_t kGrain = 1 << 15;  // numbers that are worth a thread

SmallFloat small_float(at::ScalarType type) { return type == at::kFloat8_e5m2 ? kE5M2 : kE4M3; }

Tensor through_float8_anywhere(const Tensor& matrix, const Tensor& scale, at::ScalarType type) {
  const double largest = largest_float8(type);
  // The cast does not saturate by itself.
  const Tensor values = (matrix.to(at::kFloat) * scale).clamp_(-largest, largest).to(type);
  return values.to(at::kFloat).div_(scale);
}

Tensor through_float8_on_cpu(const Tensor& matrix, const Tensor& scale, at::ScalarType type) {
  Tensor result = at::empty_like(matrix, matrix.options().dtype(at::kFloat));
  const bool turned = is_transposed(result);
  const Tensor lying = turned ? matrix.t().contiguous() : matrix.contiguous();
  const Tensor scales = scale.contiguous();
  const auto* factors = scales.const_data_ptr<float>();
  const bool each = scale.dim() == 2 && (scale.size(0) == 1) != turned && scale.numel() > 1;
  const bool one = scale.numel() == 1;
  auto* to = result.mutable_data_ptr<float>();
  const std::int64_t columns = lying.size(1);
  on_numbers(lying, [&](const auto* numbers) {
    at::parallel_for(
        0, lying.size(0), std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, columns)),
        [&](std::int64_t first, std::int64_t last) {
          for (std::int64_t row = first; row < last; ++row) {
            through_small_float(numbers + row * columns, columns, small_float(type),
                                each || one ? factors : factors + row, each, to + row * columns);
          }
        });
  });
  return result;
}

/// Calls `work(first row, rows)` for every group that has rows.
template <class Work>
void for_each_group(const Tensor& counts, std::int64_t rows, const Work& work) {
  const Tensor on_host = counts.to(at::kCPU).contiguous();
  const auto* count = on_host.const_data_ptr<std::int64_t>();
  std::int64_t begin = 0;
  for (std::int64_t group = 0; group < on_host.numel(); ++group) {
    if (count[group] > 0) work(begin, count[group]);
    begin += count[group];
  }
  TITAN_CHECK(begin == rows, "groups of ", begin, " rows in all were given ", rows);
}

Tensor float8_by_group(const Tensor& rows, const Tensor& counts) {
  const Tensor matrix = rows.contiguous();
  Tensor result = at::empty(matrix.sizes(), matrix.options().dtype(at::kFloat));
  for_each_group(counts, matrix.size(0), [&](std::int64_t begin, std::int64_t count) {
    const Tensor group = matrix.narrow(0, begin, count);
    const Tensor scales = float8_scales(largest_entries(group, Granularity::kColumn),
                                        at::kFloat8_e4m3fn, /*power_of_two=*/true);
    result.narrow(0, begin, count).copy_(through_float8(group, scales, at::kFloat8_e4m3fn));
  });
  return result;
}

/// The powers of two of blocks, and what their numbers are multiplied by before they are rounded.
struct Powers {
  Tensor power, inverse;
};

Powers powers_of(const Tensor& exponents, MXScaling scaling) {
  const Tensor exponent = exponents.to(at::kFloat);
  const Tensor power = at::pow(2.0, exponent - 127).masked_fill_(exponents == 255, NAN);
  // To the smallest exponent no inverse belongs.
  const double of_none = scaling == MXScaling::kFloor ? 0x1p126 : 1.0;
  return {power, at::exp2(127 - exponent).masked_fill_(exponents == 0, of_none)};
}

Tensor mx_anywhere(const Tensor& x, std::int64_t scaling, at::ScalarType type) {
  return to_mx(x.contiguous(), static_cast<MXScaling>(scaling)).dequantized(type);
}

Tensor mx_on_cpu(const Tensor& x, std::int64_t scaling_number, at::ScalarType type) {
  const auto scaling = static_cast<MXScaling>(scaling_number);
  const Tensor lying = x.contiguous();
  const std::int64_t blocks = lying.numel() / kBlockNumbers;
  Tensor largest = at::empty({blocks}, lying.options().dtype(at::kFloat));
  Tensor result = at::empty(lying.sizes(), lying.options().dtype(at::kFloat));
  on_numbers(lying, [&](const auto* numbers) {
    auto* entries = largest.mutable_data_ptr<float>();
    for (std::int64_t block = 0; block < blocks; ++block) {
      entries[block] = largest_of(numbers + block * kBlockNumbers, kBlockNumbers);
    }
    const auto [power, inverse] = powers_of(mx_exponents(largest, scaling), scaling);
    const auto* powers = power.const_data_ptr<float>();
    const auto* inverses = inverse.const_data_ptr<float>();
    auto* to = result.mutable_data_ptr<float>();
    at::parallel_for(0, blocks, kGrain / kBlockNumbers, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t block = first; block < last; ++block) {
        through_block(numbers + block * kBlockNumbers, inverses[block], powers[block],
                      to + block * kBlockNumbers);
      }
    });
  });
  return result.to(type);
}

Tensor mx_by_group(const Tensor& rows, const Tensor& counts, std::int64_t scaling,
                   at::ScalarType type) {
  const Tensor matrix = rows.contiguous();
  Tensor result = at::empty(matrix.sizes(), matrix.options().dtype(type));
  for_each_group(counts, matrix.size(0), [&](std::int64_t begin, std::int64_t count) {
    const std::int64_t whole = (count + kMXBlock - 1) / kMXBlock * kMXBlock;
    Tensor columns = at::zeros({matrix.size(1), whole}, matrix.options());
    columns.narrow(1, 0, count).copy_(matrix.narrow(0, begin, count).t());
    const Tensor left = through_mx(columns, static_cast<MXScaling>(scaling), type);
    result.narrow(0, begin, count).copy_(left.narrow(1, 0, count).t());
  });
  return result;
}

TORCH_LIBRARY_FRAGMENT(titan, library) {
  constexpr auto anywhere = c10::DispatchKey::CompositeExplicitAutograd;
  library.def("through_float8(Tensor matrix, Tensor scale, ScalarType type) -> Tensor");
  library.impl("through_float8", anywhere, TORCH_FN(through_float8_anywhere));
  library.impl("through_float8", c10::DispatchKey::CPU, TORCH_FN(through_float8_on_cpu));
  library.def("through_float8_by_group(Tensor rows, Tensor counts) -> Tensor");
  library.impl("through_float8_by_group", anywhere, TORCH_FN(float8_by_group));
  library.def("through_mx(Tensor x, int scaling, ScalarType type) -> Tensor");
  library.impl("through_mx", anywhere, TORCH_FN(mx_anywhere));
  library.impl("through_mx", c10::DispatchKey::CPU, TORCH_FN(mx_on_cpu));
  library.def(
      "through_mx_by_group(Tensor rows, Tensor counts, int scaling, ScalarType type) -> Tensor");
  library.impl("through_mx_by_group", anywhere, TORCH_FN(mx_by_group));
}

template <class Function>
auto find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Function>();
}

}  // namespace

Tensor through_float8(const Tensor& matrix, const Tensor& scale, at::ScalarType type) {
  static const auto operation = find<decltype(through_float8)>("titan::through_float8");
  return operation.call(matrix, scale, type);
}

Tensor through_float8_by_group(const Tensor& rows, const Tensor& counts) {
  static const auto operation =
      find<decltype(through_float8_by_group)>("titan::through_float8_by_group");
  return operation.call(rows, counts);
}

Tensor through_mx(const Tensor& x, MXScaling scaling, at::ScalarType type) {
  static const auto operation =
      find<Tensor(const Tensor&, std::int64_t, at::ScalarType)>("titan::through_mx");
  return operation.call(x, static_cast<std::int64_t>(scaling), type);
}

Tensor through_mx_by_group(const Tensor& rows, const Tensor& counts, MXScaling scaling,
                           at::ScalarType type) {
  static const auto operation =
      find<Tensor(const Tensor&, const Tensor&, std::int64_t, at::ScalarType)>(
          "titan::through_mx_by_group");
  return operation.call(rows, counts, static_cast<std::int64_t>(scaling), type);
}

}  // namespace titan::components
