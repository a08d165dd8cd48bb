#include "components/quantization/blockwise_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include "components/quantization/emulated_operators.h"
#include "components/quantization/float8_operators.h"
#include "titan/base/errors.h"
#include "titan/components/quantization/without_autocast.h"

namespace titan::components {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kBlock = 128;
constexpr at::ScalarType kType = at::kFloat8_e4m3fn;

std::int64_t missing(std::int64_t length) { return (kBlock - length % kBlock) % kBlock; }

/// What is left of a matrix, in float32, whose blocks of 128 columns and one row, or 128 rows, have a scale each.
at::Tensor through_blocks(const at::Tensor& matrix, bool square) {
  const std::int64_t rows = matrix.size(0);
  const std::int64_t columns = matrix.size(1);
  const at::Tensor whole = at::constant_pad_nd(
      matrix.contiguous(), {0, missing(columns), 0, square ? missing(rows) : 0});
  const at::Tensor pieces = whole.view({-1, kBlock});
  at::Tensor largest = largest_entries(pieces, Granularity::kRow);
  if (square) {
    const std::int64_t across = whole.size(1) / kBlock;
    largest = largest.view({-1, kBlock, across})
                  .amax(1, /*keepdim=*/true)
                  .expand({-1, kBlock, across})
                  .reshape({-1, 1});
  }
  const at::Tensor scales = float8_scales(largest, kType, /*power_of_two=*/false);
  return through_float8(pieces, scales, kType)
      .view(whole.sizes())
      .narrow(0, 0, rows)
      .narrow(1, 0, columns);
}

at::Tensor of_tokens(const at::Tensor& matrix) { return through_blocks(matrix, /*square=*/false); }
at::Tensor of_weight(const at::Tensor& matrix) { return through_blocks(matrix, /*square=*/true); }

struct BlockwiseLinear : public torch::autograd::Function<BlockwiseLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight) {
    const WithoutAutocast guard;
    context->save_for_backward({x, weight});
    auto sizes = x.sizes().vec();
    sizes.back() = weight.size(0);
    return at::mm(of_tokens(x.reshape({-1, x.size(-1)})), of_weight(weight).t())
        .to(x.scalar_type())
        .view(sizes);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const WithoutAutocast guard;
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor gradient = gradients[0].reshape({-1, gradients[0].size(-1)});
    variable_list result(2);
    if (context->needs_input_grad(0)) {
      result[0] = at::mm(of_tokens(gradient), of_weight(saved[1]))
                      .to(gradient.scalar_type())
                      .view(x.sizes());
    }
    if (context->needs_input_grad(1)) {
      result[1] = at::mm(of_tokens(gradient.t()), of_tokens(x.reshape({-1, x.size(-1)}).t()).t())
                      .to(gradient.scalar_type());
    }
    return result;
  }
};

}  // namespace

at::Tensor blockwise_linear(const at::Tensor& x, const at::Tensor& weight,
                            const WeightRanks& ranks) {
  if (ranks.group != nullptr && ranks.group->size() > 1 && weight.size(ranks.dim) % kBlock != 0) {
    throw ConfigError(
        concat("quantize.linear.float8.recipe_name = \"blockwise\": a rank of tensor "
               "parallelism has ",
               weight.size(ranks.dim),
               " features of a weight, which is no whole number of blocks of ", kBlock));
  }
  return BlockwiseLinear::apply(in_autocast_type(x), weight);
}

}  // namespace titan::components
