#include "titan/components/quantization/float8_linear.h"

#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <initializer_list>
#include <optional>

#include "components/quantization/blockwise_linear.h"
#include "titan/components/quantization/without_autocast.h"

namespace titan::components {

namespace {

using config::Float8Recipe;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// How each operand of the three products is rounded. Rows and columns are those of x `[M, K]`, Wᵀ
/// `[K, N]` and dy `[M, N]`: what shares a scale is what a product sums over.
struct Casts {
  Float8Cast x, weight;                     // y = x Wᵀ
  Float8Cast gradient, weight_for_input;    // dx = dy W
  Float8Cast gradient_for_weight, x_again;  // dW = dyᵀ x
  bool weight_gradient_in_float8 = true;
};

Casts casts_of(Float8Recipe recipe) {
  constexpr auto tensor = Granularity::kTensor;
  constexpr auto row = Granularity::kRow;
  constexpr auto column = Granularity::kColumn;
  constexpr auto e4m3 = at::kFloat8_e4m3fn;
  constexpr auto e5m2 = at::kFloat8_e5m2;
  if (recipe == Float8Recipe::kTensorwise) {
    return {{e4m3, tensor, false}, {e4m3, tensor, false}, {e5m2, tensor, false},
            {e4m3, tensor, false}, {e5m2, tensor, false}, {e4m3, tensor, false}};
  }
  Casts casts{{e4m3, row, true}, {e4m3, column, true}, {e4m3, row, true},
              {e4m3, row, true}, {e4m3, column, true}, {e4m3, column, true}};
  if (recipe == Float8Recipe::kRowwiseWithGwHp) {
    casts.weight_for_input.granularity = tensor;
    casts.weight_gradient_in_float8 = false;
  }
  return casts;
}

/// The dimensions of the products: M, tokens; K, features of x; N, features of y.
enum class Side { kK, kN };

/// The ranks whose entries share scales with these, when `summed` (the dimension that a scale for
/// rows or columns spans) or, of the whole matrix, any of its dimensions is the one that the weight
/// is cut in.
comm::ProcessGroup* sharing(const WeightRanks& ranks, const Float8Cast& cast,
                            std::initializer_list<Side> dims_of_matrix,
                            std::optional<Side> summed) {
  if (ranks.group == nullptr) return nullptr;
  const Side cut = ranks.dim == 0 ? Side::kN : Side::kK;
  if (cast.granularity == Granularity::kTensor) {
    return std::ranges::find(dims_of_matrix, cut) != dims_of_matrix.end() ? ranks.group : nullptr;
  }
  return summed == cut ? ranks.group : nullptr;
}

Float8Layout layout(Float8Products products, Float8Layout wanted) {
  return products == Float8Products::kScaled ? wanted : Float8Layout::kEmulated;
}

struct Float8LinearFunction : public torch::autograd::Function<Float8LinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const Float8LinearOptions& options) {
    const WithoutAutocast guard;
    const auto& [recipe, products, ranks, weight_values, x_values] = options;
    const Casts casts = casts_of(recipe);
    const at::Tensor rows = x.reshape({-1, x.size(-1)});
    const at::Tensor of_x =
        x_values ? x_values->scale
                 : float8_scale(rows, casts.x, sharing(ranks, casts.x, {Side::kK}, Side::kK));
    const Float8Matrix left =
        x_values ? *x_values
                 : to_float8(rows, of_x, casts.x.type, layout(products, Float8Layout::kByRow));
    const at::Tensor of_weight =
        weight_values ? weight_values->scale
                      : float8_scale(weight.t(), casts.weight,
                                     sharing(ranks, casts.weight, {Side::kK, Side::kN}, Side::kK));
    const Float8Matrix right = weight_values ? weight_values->t()
                                             : to_float8(weight.t(), of_weight, casts.weight.type,
                                                         layout(products, Float8Layout::kByColumn));
    at::Tensor y = multiply(left, right, x.scalar_type(), products, /*fast=*/true);
    // One scale of a whole matrix is good for backward too.
    const bool same = casts.x_again.granularity == Granularity::kTensor;
    context->save_for_backward({x, weight, same ? of_x : at::Tensor(),
                                same ? of_weight : at::Tensor(),
                                weight_values ? weight_values->values : at::Tensor(),
                                x_values ? x_values->values : at::Tensor()});
    context->saved_data["recipe"] = static_cast<std::int64_t>(recipe);
    context->saved_data["products"] = static_cast<std::int64_t>(products);
    context->saved_data["group"] = reinterpret_cast<std::int64_t>(ranks.group);
    context->saved_data["dim"] = static_cast<std::int64_t>(ranks.dim);
    auto sizes = x.sizes().vec();
    sizes.back() = weight.size(0);
    return y.view(sizes);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const WithoutAutocast guard;
    const auto number = [&](const char* key) { return context->saved_data.at(key).toInt(); };
    const auto recipe = static_cast<Float8Recipe>(number("recipe"));
    const auto products = static_cast<Float8Products>(number("products"));
    const WeightRanks ranks{reinterpret_cast<comm::ProcessGroup*>(number("group")),
                            static_cast<int>(number("dim"))};
    const Casts casts = casts_of(recipe);
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor weight_t = saved[1].t();
    const at::Tensor gradient = gradients[0].reshape({-1, gradients[0].size(-1)});

    const bool one_scale = casts.gradient.granularity == Granularity::kTensor;
    const bool needs_x = context->needs_input_grad(0);
    const bool needs_weight = context->needs_input_grad(1);
    at::Tensor scale;
    if (needs_x || one_scale) {
      scale = float8_scale(gradient, casts.gradient,
                           sharing(ranks, casts.gradient, {Side::kN}, Side::kN));
    }
    at::Tensor of_x;
    if (needs_x) {
      const Float8Matrix left =
          to_float8(gradient, scale, casts.gradient.type, layout(products, Float8Layout::kByRow));
      const at::Tensor of_weights = saved[3].defined()
                                        ? saved[3]
                                        : float8_scale(weight_t, casts.weight_for_input,
                                                       sharing(ranks, casts.weight_for_input,
                                                               {Side::kK, Side::kN}, Side::kN));
      const Float8Matrix right = saved[4].defined()
                                     ? Float8Matrix{saved[4].t(), of_weights}
                                     : to_float8(weight_t, of_weights, casts.weight_for_input.type,
                                                 layout(products, Float8Layout::kByRow));
      of_x = multiply(left, right.t(), gradient.scalar_type(), products, /*fast=*/false)
                 .view(x.sizes());
    }
    at::Tensor of_weight;
    const at::Tensor rows = x.reshape({-1, x.size(-1)});
    if (needs_weight && !casts.weight_gradient_in_float8) {
      of_weight = at::mm(gradient.t(), rows);
    } else if (needs_weight) {
      const at::Tensor by_token =
          one_scale ? scale : float8_scale(gradient, casts.gradient_for_weight);
      const Float8Matrix left = to_float8(gradient, by_token, casts.gradient_for_weight.type,
                                          layout(products, Float8Layout::kByColumn));
      const at::Tensor of_rows =
          saved[2].defined()
              ? saved[2]
              : float8_scale(rows, casts.x_again,
                             sharing(ranks, casts.x_again, {Side::kK}, std::nullopt));
      const Float8Matrix right = saved[5].defined()
                                     ? Float8Matrix{saved[5], of_rows}
                                     : to_float8(rows, of_rows, casts.x_again.type,
                                                 layout(products, Float8Layout::kByColumn));
      of_weight = multiply(left.t(), right, gradient.scalar_type(), products, /*fast=*/false);
    }
    return {of_x, of_weight, {}};
  }
};

}  // namespace

at::Tensor float8_linear(const at::Tensor& x, const at::Tensor& weight,
                         const Float8LinearOptions& options) {
  if (options.recipe == Float8Recipe::kBlockwise) {
    return blockwise_linear(x, weight, options.ranks);
  }
  return Float8LinearFunction::apply(in_autocast_type(x), weight, options);
}

}  // namespace titan::components
