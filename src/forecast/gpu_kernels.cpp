#include "forecast/gpu_kernels.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "titan/nn/rms_norm.h"

namespace titan::forecast {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// at::rms_norm as CUDA's kernel does it, without its numbers.
class FusedRmsNorm : public torch::autograd::Function<FusedRmsNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight) {
    std::vector<std::int64_t> rows = input.sizes().vec();
    rows.back() = 1;
    const at::Tensor reciprocal = at::empty(rows, input.options().dtype(at::kFloat));
    context->save_for_backward({input, weight, reciprocal});
    return at::empty_like(input);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    return {at::empty_like(saved[0]), at::empty_like(saved[1])};
  }
};

}  // namespace

void keep_what_gpu_kernels_keep(nn::Module& model) {
  for (const auto& [name, module] : model.named_modules()) {
    auto* norm = dynamic_cast<nn::RMSNorm*>(module);
    if (norm == nullptr) continue;
    norm->wrap_forward([norm](const nn::Module::Forward&, const nn::Tensors& inputs) {
      const at::Tensor weight = norm->parameter_slots().front().second->tensor;
      return nn::Tensors{FusedRmsNorm::apply(inputs.at(0), weight)};
    });
  }
}

nn::Tensors packed_rows(const at::Tensor& tokens) {
  return {at::empty({tokens.size(0) + 1}, tokens.options().dtype(at::kInt)),
          at::empty({}, tokens.options())};
}

}  // namespace titan::forecast
