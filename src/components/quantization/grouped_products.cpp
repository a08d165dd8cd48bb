#include "titan/components/quantization/grouped_products.h"

#include <torch/csrc/autograd/custom_function.h>

#include "components/quantization/grouped_format.h"
#include "titan/base/errors.h"
#include "titan/components/quantization/without_autocast.h"

namespace titan::components {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class Pointee>
Pointee* pointer(AutogradContext& context, const char* name) {
  return reinterpret_cast<Pointee*>(context.saved_data.at(name).toInt());
}

struct GroupedProduct : public torch::autograd::Function<GroupedProduct> {
  static Tensor forward(AutogradContext* context, const Tensor& rows, const Tensor& weights,
                        const Tensor& counts, const GroupedFormat* format, ExpertRanks ranks) {
    const WithoutAutocast guard;
    context->save_for_backward({rows, weights, counts});
    context->saved_data["format"] = reinterpret_cast<std::int64_t>(format);
    context->saved_data["ranks"] =
        reinterpret_cast<std::int64_t>(ranks.dim == 1 ? ranks.group : nullptr);
    return format->product(rows, weights, counts, ranks.dim == 2 ? ranks.group : nullptr);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const WithoutAutocast guard;
    const auto& format = *pointer<const GroupedFormat>(*context, "format");
    const variable_list saved = context->get_saved_variables();
    const Tensor& rows = saved[0];
    const Tensor& weights = saved[1];
    const Tensor& counts = saved[2];
    const Tensor gradient = gradients[0].contiguous();
    variable_list result(5);
    if (context->needs_input_grad(0)) {
      result[0] = format
                      .product(gradient, weights.transpose(1, 2).contiguous(), counts,
                               pointer<comm::ProcessGroup>(*context, "ranks"))
                      .to(rows.scalar_type());
    }
    if (context->needs_input_grad(1)) {
      result[1] = format.weights_gradient(gradient, rows, counts).to(weights.scalar_type());
    }
    return result;
  }
};

void check_features(const Tensor& weights, const char* converter, std::int64_t multiple) {
  for (const std::int64_t features : {weights.size(1), weights.size(2)}) {
    if (features % multiple == 0) continue;
    throw ConfigError(concat(converter, ": experts of ", weights.size(1), " x ", weights.size(2),
                             " features, which are not multiples of ", multiple));
  }
}

}  // namespace

Tensor float8_grouped_product(const Tensor& rows, const Tensor& weights, const Tensor& counts,
                              Float8Products products, const ExpertRanks& ranks) {
  check_features(weights, "quantize.grouped_mm.float8", 16);
  const bool emulated = products == Float8Products::kEmulated;
  return GroupedProduct::apply(rows, weights, counts, &grouped_float8(emulated), ranks);
}

Tensor mx_grouped_product(const Tensor& rows, const Tensor& weights, const Tensor& counts,
                          MXProducts products) {
  check_features(weights, "quantize.grouped_mm.mx", kMXBlock);
  const bool emulated = products == MXProducts::kEmulated;
  return GroupedProduct::apply(rows, weights, counts, &grouped_mx(emulated), ExpertRanks{});
}

}  // namespace titan::components
