#include "titan/components/quantization/float8_input_gather.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "components/quantization/float8_operators.h"
#include "titan/comm/autograd_collectives.h"
#include "titan/components/quantization/without_autocast.h"

namespace titan::components {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr Float8Cast kCast = {at::kFloat8_e4m3fn, Granularity::kTensor, /*power_of_two=*/false};

struct GatherInFloat8 : public torch::autograd::Function<GatherInFloat8> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& part, std::int64_t dim,
                            comm::ProcessGroup* group, Float8Matrix* values) {
    const at::Tensor rows = in_autocast_type(part).reshape({-1, part.size(-1)});
    const WithoutAutocast guard;
    context->saved_data["dim"] = dim;
    context->saved_data["group"] = reinterpret_cast<std::int64_t>(group);
    const at::Tensor scale = float8_scale(rows, kCast, group);
    const at::Tensor bytes = cast_to_float8(rows, scale, kCast.type, /*by_column=*/false)
                                 .view(at::kByte)
                                 .view(part.sizes());
    const at::Tensor whole = comm::all_gather(bytes, dim, *group);
    *values = {whole.view(kCast.type).reshape({-1, part.size(-1)}), scale};
    // One number stands for all: it is there for gradients.
    return at::zeros({}, part.options()).expand(whole.sizes());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    auto& group = *reinterpret_cast<comm::ProcessGroup*>(context->saved_data.at("group").toInt());
    return {comm::reduce_scatter(gradients[0], context->saved_data.at("dim").toInt(), group),
            {},
            {},
            {}};
  }
};

}  // namespace

at::Tensor Float8InputGather::gather(const at::Tensor& part, std::int64_t dim,
                                     comm::ProcessGroup& group) {
  const at::Tensor result = GatherInFloat8::apply(part, dim, &group, &values_);
  result_ = c10::weak_intrusive_ptr<c10::TensorImpl>(result.getIntrusivePtr());
  return result;
}

std::optional<Float8Matrix> Float8InputGather::gathered(const at::Tensor& x) const {
  const auto result = result_.lock();
  if (result == nullptr || result.get() != x.unsafeGetTensorImpl()) return std::nullopt;
  return values_;
}

}  // namespace titan::components
