#include "forecast/shape_rules.h"

#include <ATen/ExpandUtils.h>
#include <ATen/ops/result_type.h>

#include <algorithm>
#include <map>

namespace titan::forecast {
namespace {

using Results = std::vector<FakeResult>;
using torch::jit::Stack;

FakeResult like(const at::Tensor& tensor) { return {tensor.sizes().vec(), tensor.scalar_type()}; }

/// (weight `[V, D]`, indices, ...): a row each.
Results embedding(const Stack& arguments) {
  const at::Tensor& weight = arguments[0].toTensor();
  std::vector<std::int64_t> sizes = arguments[1].toTensor().sizes().vec();
  sizes.push_back(weight.size(1));
  return {{sizes, weight.scalar_type()}};
}

/// (gradient, indices, V, ...): all rows.
Results embedding_backward(const Stack& arguments) {
  const at::Tensor& gradient = arguments[0].toTensor();
  return {{{arguments[2].toInt(), gradient.size(-1)}, gradient.scalar_type()}};
}

/// (input, dimension, index)
Results index_select(const Stack& arguments) {
  const at::Tensor& input = arguments[0].toTensor();
  FakeResult result = like(input);
  const std::int64_t dim = at::maybe_wrap_dim(arguments[1].toInt(), input.dim());
  result.sizes[static_cast<std::size_t>(dim)] = arguments[2].toTensor().numel();
  return {result};
}

/// (input, dimensions, whether they stay)
Results logsumexp(const Stack& arguments) {
  FakeResult result = like(arguments[0].toTensor());
  std::vector<std::int64_t> sizes;
  const std::vector<std::int64_t> summed = arguments[1].toIntVector();
  const auto dims = static_cast<std::int64_t>(result.sizes.size());
  for (std::int64_t dim = 0; dim < dims; ++dim) {
    const bool is_summed = std::ranges::any_of(
        summed, [&](std::int64_t other) { return at::maybe_wrap_dim(other, dims) == dim; });
    if (!is_summed) {
      sizes.push_back(result.sizes[static_cast<std::size_t>(dim)]);
    } else if (arguments[2].toBool()) {
      sizes.push_back(1);
    }
  }
  result.sizes = sizes;
  return {result};
}

/// (input, a number)
Results like_first(const Stack& arguments) { return {like(arguments[0].toTensor())}; }

/// (condition, a, b)
Results where(const Stack& arguments) {
  const at::Tensor& a = arguments[1].toTensor();
  const at::Tensor& b = arguments[2].toTensor();
  const auto sizes =
      at::infer_size(arguments[0].toTensor().sizes(), at::infer_size(a.sizes(), b.sizes()));
  return {{sizes, at::result_type(a, b)}};
}

/// (tensor): the result, and what backward would want.
Results log_sigmoid(const Stack& arguments) {
  const FakeResult result = like(arguments[0].toTensor());
  return {result, result};
}

/// As attention kernels allocate `[B, H, S, D]`: so that no copy is needed to put heads together.
FakeResult by_token(const at::Tensor& tensor) {
  FakeResult result = like(tensor);
  result.transposed = true;
  return result;
}

/// (absolute value, angle)
Results polar(const Stack& arguments) {
  const at::Tensor& absolute = arguments[0].toTensor();
  return {{at::infer_size(absolute.sizes(), arguments[1].toTensor().sizes()),
           c10::toComplexType(absolute.scalar_type())}};
}

/// (q `[B, H, S, D]`, k, v, ...): output, and log-sum-exp `[B, H, S]` in at least fp32.
Results attention(const Stack& arguments) {
  const at::Tensor& q = arguments[0].toTensor();
  const at::ScalarType sum_type = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  FakeResult output = by_token(q);
  output.sizes.back() = arguments[2].toTensor().size(-1);
  return {output, {{q.size(0), q.size(1), q.size(2)}, sum_type}};
}

/// (gradient, q, k, v, ...)
Results attention_backward(const Stack& arguments) {
  return {by_token(arguments[1].toTensor()), by_token(arguments[2].toTensor()),
          by_token(arguments[3].toTensor())};
}

/// (q `[T, H, D]` of T tokens in documents behind each other, k, v, ...): output, log-sum-exp `[H, T]` in
/// fp32, the state of the random generator, nothing, no mask.
Results packed_attention(const Stack& arguments) {
  const at::Tensor& q = arguments[0].toTensor();
  FakeResult output = like(q);
  output.sizes.back() = arguments[2].toTensor().size(-1);
  return {output,
          {{q.size(1), q.size(0)}, at::kFloat},
          {{2}, at::kUInt64},
          {{}, at::kUInt64},
          {{0}, q.scalar_type()}};
}

/// (gradient, q, k, v, ...)
Results packed_attention_backward(const Stack& arguments) {
  return {like(arguments[1].toTensor()), like(arguments[2].toTensor()),
          like(arguments[3].toTensor())};
}

/// (a, b)
Results logical(const Stack& arguments) {
  return {{at::infer_size(arguments[0].toTensor().sizes(), arguments[1].toTensor().sizes()),
           at::kBool}};
}

/// (tensor)
Results logical_not(const Stack& arguments) {
  return {{arguments[0].toTensor().sizes().vec(), at::kBool}};
}

/// (largest entries, ...): one float32 for each.
Results float8_scales(const Stack& arguments) {
  return {{arguments[0].toTensor().sizes().vec(), at::kFloat}};
}

/// (matrix, what shares a scale): of the whole, of rows or of columns.
Results largest_entries(const Stack& arguments) {
  const at::Tensor& matrix = arguments[0].toTensor();
  switch (arguments[1].toInt()) {
    case 0:
      return {{{}, at::kFloat}};
    case 1:
      return {{{matrix.size(0), 1}, at::kFloat}};
    default:
      return {{{1, matrix.size(1)}, at::kFloat}};
  }
}

/// (matrix, ...): what rounding leaves of it, in float32.
Results through_float8(const Stack& arguments) {
  return {{arguments[0].toTensor().sizes().vec(), at::kFloat}};
}

/// (x, ..., type)
Results through_mx(const Stack& arguments) {
  return {{arguments[0].toTensor().sizes().vec(), arguments.back().toScalarType()}};
}

/// (matrix, scale, type, ...)
Results cast_to_float8(const Stack& arguments) {
  return {{arguments[0].toTensor().sizes().vec(), arguments[2].toScalarType()}};
}

/// (matrix, scaling): scales of blocks of 32, in whole tiles of 128 rows by 4.
Results cast_to_mx(const Stack& arguments) {
  const at::Tensor& matrix = arguments[0].toTensor();
  const std::int64_t tiles = (matrix.size(0) + 127) / 128 * ((matrix.size(1) / 32 + 3) / 4);
  return {{matrix.sizes().vec(), at::kFloat8_e4m3fn}, {{tiles * 512}, at::kFloat8_e8m0fnu}};
}

/// (matrix, ..., sizes of the scales)
Results cast_to_mx_by_group(const Stack& arguments) {
  return {{arguments[0].toTensor().sizes().vec(), at::kFloat8_e4m3fn},
          {arguments.back().toIntVector(), at::kFloat8_e8m0fnu}};
}

/// (a `[M, K]`, b `[K, N]`, scales, bias, scale of the result, type, ...)
Results scaled_mm(const Stack& arguments) {
  const at::Tensor& a = arguments[0].toTensor();
  const at::ScalarType type = arguments[6].isNone() ? a.scalar_type() : arguments[6].toScalarType();
  return {{{a.size(0), arguments[1].toTensor().size(1)}, type}};
}

/// (a `[M, K]`, b `[groups, K, N]` or, group by group, `[K, N]`, scales, ends of groups, bias, scale of the result, type, ...)
Results scaled_grouped_mm(const Stack& arguments) {
  const at::Tensor& a = arguments[0].toTensor();
  const at::Tensor& b = arguments[1].toTensor();
  const at::ScalarType type = arguments[7].toScalarType();
  if (b.dim() == 3) return {{{a.size(0), b.size(2)}, type}};
  return {{{arguments[4].toTensor().size(0), a.size(0), b.size(1)}, type}};
}

/// (ascending numbers, numbers, ...): a place for each of these.
Results searchsorted(const Stack& arguments) {
  return {{arguments[1].toTensor().sizes().vec(), at::kLong}};
}

/// (tensor): one place only. Where documents begin is asked so; it takes little memory however many there are.
Results nonzero(const Stack& arguments) {
  return {{{1, arguments[0].toTensor().dim()}, at::kLong}};
}

/// (rows `[R, in]`, weights `[groups, out, in]`, counts)
Results grouped_product(const Stack& arguments) {
  const at::Tensor& rows = arguments[0].toTensor();
  return {{{rows.size(0), arguments[1].toTensor().size(1)}, rows.scalar_type()}};
}

/// (gradient `[R, out]`, weights `[groups, out, in]`, counts)
Results grouped_product_rows_gradient(const Stack& arguments) {
  const at::Tensor& gradient = arguments[0].toTensor();
  return {{{gradient.size(0), arguments[1].toTensor().size(2)}, gradient.scalar_type()}};
}

/// (gradient `[R, out]`, rows `[R, in]`, counts `[groups]`)
Results grouped_product_weights_gradient(const Stack& arguments) {
  const at::Tensor& gradient = arguments[0].toTensor();
  return {{{arguments[2].toTensor().size(0), gradient.size(1), arguments[1].toTensor().size(1)},
           gradient.scalar_type()}};
}

}  // namespace

ShapeRule find_shape_rule(const std::string& operator_name) {
  static const std::map<std::string, ShapeRule> rules = {
      {"aten::embedding", embedding},
      {"aten::embedding_dense_backward", embedding_backward},
      {"aten::index_select", index_select},
      {"aten::where", where},
      {"aten::floor_divide", like_first},
      {"aten::polar", polar},
      {"aten::log_sigmoid_forward", log_sigmoid},
      {"aten::logical_and", logical},
      {"aten::logical_or", logical},
      {"aten::logical_xor", logical},
      {"aten::logical_not", logical_not},
      {"aten::nonzero", nonzero},
      {"aten::abs", like_first},
      {"aten::logsumexp", logsumexp},
      {"titan::float8_scales", float8_scales},
      {"titan::cast_to_float8", cast_to_float8},
      {"titan::cast_to_mx", cast_to_mx},
      {"titan::cast_to_mx_by_group", cast_to_mx_by_group},
      {"titan::largest_entries", largest_entries},
      {"titan::through_float8", through_float8},
      {"titan::through_float8_by_group", through_float8},
      {"titan::through_mx", through_mx},
      {"titan::through_mx_by_group", through_mx},
      {"aten::_scaled_mm", scaled_mm},
      {"aten::_scaled_grouped_mm", scaled_grouped_mm},
      {"aten::searchsorted", searchsorted},
      {"aten::_scaled_dot_product_flash_attention_for_cpu", attention},
      {"aten::_scaled_dot_product_flash_attention_for_cpu_backward", attention_backward},
      {"aten::_flash_attention_forward", packed_attention},
      {"aten::_flash_attention_backward", packed_attention_backward},
      {"titan::grouped_product", grouped_product},
      {"titan::grouped_product_rows_gradient", grouped_product_rows_gradient},
      {"titan::grouped_product_weights_gradient", grouped_product_weights_gradient},
  };
  const auto rule = rules.find(operator_name);
  return rule == rules.end() ? nullptr : rule->second;
}

}  // namespace titan::forecast
