#include "trainer/nonfinite.h"

#include <ATen/ops/isfinite.h>

#include "titan/base/errors.h"
#include "titan/base/float_text.h"

namespace titan::trainer {

namespace {

constexpr int kMaxNames = 5;

std::string parameters_with_nonfinite_gradients(const protocols::ModelParts& model_parts) {
  std::string names;
  int count = 0;
  for (const auto& part : model_parts) {
    for (const nn::NamedTensor& parameter : part->named_parameters()) {
      const at::Tensor& grad = parameter.tensor.grad();
      if (!grad.defined() || at::isfinite(grad).all().item<bool>()) continue;
      if (++count <= kMaxNames) names += (names.empty() ? "" : ", ") + parameter.name;
    }
  }
  if (count == 0) return "No gradient is non-finite.";
  return concat("Non-finite gradients in ", count, " parameters: ", names,
                count > kMaxNames ? ", ..." : "", ".");
}

}  // namespace

std::string describe_nonfinite(const protocols::StepMetrics& metrics,
                               const protocols::ModelParts& model_parts) {
  return concat("Step ", metrics.step, ": loss ", base::shortest(metrics.loss), ", gradient norm ",
                base::shortest(metrics.grad_norm), ". ",
                parameters_with_nonfinite_gradients(model_parts));
}

}  // namespace titan::trainer
