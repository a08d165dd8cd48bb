#include "trainer/nonfinite.h"

#include <ATen/ops/isfinite.h>

#include <cmath>

#include "titan/base/errors.h"
#include "titan/base/float_text.h"
#include "titan/tools/logging.h"

namespace titan::trainer {

namespace {

constexpr int kMaxNames = 5;
/// After so many skipped steps in a row, or returns to a checkpoint, nothing will be learned any more.
constexpr std::int64_t kMostInARow = 10;

std::string parameters_with_nonfinite_gradients(const protocols::ModelParts& model_parts) {
  std::string names;
  int count = 0;
  for (const nn::NamedParameter& parameter : protocols::named_parameters(model_parts)) {
    const at::Tensor& grad = parameter.tensor().grad();
    if (!grad.defined() || at::isfinite(grad).all().item<bool>()) continue;
    if (++count <= kMaxNames) names += (names.empty() ? "" : ", ") + parameter.name;
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

NonfinitePolicy::Verdict NonfinitePolicy::judge(const protocols::StepMetrics& metrics) {
  if (std::isfinite(metrics.loss) && std::isfinite(metrics.grad_norm)) {
    skipped_in_a_row_ = 0;
    return Verdict::kUpdate;
  }
  switch (on_nan_) {
    case config::OnNan::kStop:
      give_up(metrics,
              " Lower optimizer.lr, look at the data of this step, or skip such steps "
              "(debug.on_nan = \"skip\") or go back to a checkpoint (\"rollback\").");
    case config::OnNan::kSkip:
      if (++skipped_in_a_row_ > kMostInARow) {
        give_up(metrics, concat(" That was the ", skipped_in_a_row_, "th such step in a row."));
      }
      tools::log_warning(describe_nonfinite(metrics, model_parts_),
                         " This step's update is skipped (debug.on_nan = \"skip\").");
      return Verdict::kSkipUpdate;
    case config::OnNan::kRollback:
      if (++returns_ > kMostInARow) {
        give_up(metrics, concat(" The job has gone back ", returns_ - 1,
                                " times without reaching another checkpoint."));
      }
      tools::log_warning(describe_nonfinite(metrics, model_parts_));
      return Verdict::kGoBack;
  }
  throw InternalError("unknown debug.on_nan");
}

void NonfinitePolicy::give_up(const protocols::StepMetrics& metrics, const std::string& why) {
  metrics_.log(metrics);
  metrics_.close();
  throw RunError(describe_nonfinite(metrics, model_parts_) + why);
}

}  // namespace titan::trainer
