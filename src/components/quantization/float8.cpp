#include "titan/components/quantization/float8.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_scaled_mm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>

#include "components/quantization/emulated_operators.h"
#include "components/quantization/float8_operators.h"

namespace titan::components {

namespace {

/// One scale for the whole as one for each row (`[rows, 1]`) or column, for products that take both
/// sides alike.
at::Tensor repeated(const at::Tensor& scale, at::IntArrayRef sizes) {
  return scale.dim() == 0 ? scale.expand(sizes).contiguous() : scale.contiguous();
}

at::Tensor what_is_left(const Float8Matrix& matrix) {
  return matrix.scale.defined() ? matrix.values.to(at::kFloat) / matrix.scale : matrix.values;
}

at::Tensor emulated(const Float8Matrix& a, const Float8Matrix& b, at::ScalarType type) {
  return at::mm(what_is_left(a), what_is_left(b)).to(type);
}

at::Tensor scaled(const Float8Matrix& a, const Float8Matrix& b, at::ScalarType type, bool fast) {
  // The units take rows of the left and columns of the right one; here they lie so already.
  const at::Tensor left = a.values.contiguous();
  const at::Tensor right = b.values.t().contiguous().t();
  at::Tensor left_inverse = a.scale.reciprocal();
  at::Tensor right_inverse = b.scale.reciprocal();
  if (left_inverse.dim() == 0 && right_inverse.dim() == 0) {
    return at::_scaled_mm(left, right, left_inverse, right_inverse, /*bias=*/{},
                          /*scale_result=*/{}, type, fast);
  }
  left_inverse = repeated(left_inverse, {left.size(0), 1});
  right_inverse = repeated(right_inverse, {1, right.size(1)});
  // Products with a scale for each row come in bfloat16 only, and are slow where sums must be
  // exact: those are scaled behind it.
  if (fast) {
    return at::_scaled_mm(left, right, left_inverse, right_inverse, {}, {}, at::kBFloat16, true)
        .to(type);
  }
  const at::Tensor one = at::ones({}, left_inverse.options());
  at::Tensor product = at::_scaled_mm(left, right, one, one, {}, {}, at::kBFloat16, false);
  product.mul_(left_inverse * right_inverse);
  return product.to(type);
}

}  // namespace

Float8Matrix Float8Matrix::t() const {
  return {values.t(), scale.defined() && scale.dim() == 2 ? scale.t() : scale};
}

at::Tensor float8_scale(const at::Tensor& matrix, const Float8Cast& cast,
                        comm::ProcessGroup* ranks) {
  at::Tensor entries = largest_entries(matrix, cast.granularity);
  if (ranks != nullptr && ranks->size() > 1) {
    ranks->all_reduce(entries, comm::ReduceOp::kMax).wait();
  }
  return float8_scales(entries, cast.type, cast.power_of_two);
}

Float8Matrix to_float8(const at::Tensor& matrix, const at::Tensor& scale, at::ScalarType type,
                       Float8Layout layout) {
  if (layout == Float8Layout::kEmulated) return {through_float8(matrix, scale, type), {}};
  return {cast_to_float8(matrix, scale, type, layout == Float8Layout::kByColumn), scale};
}

at::Tensor multiply(const Float8Matrix& a, const Float8Matrix& b, at::ScalarType type,
                    Float8Products products, bool fast) {
  return products == Float8Products::kEmulated ? emulated(a, b, type) : scaled(a, b, type, fast);
}

}  // namespace titan::components
