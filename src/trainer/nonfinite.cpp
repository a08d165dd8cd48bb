#include "trainer/nonfinite.h"

#include <ATen/ops/isfinite.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "titan/base/errors.h"
#include "titan/base/float_text.h"
#include "titan/tools/logging.h"

namespace titan::trainer {

namespace {

constexpr int kMaxNames = 5;
/// After so many skipped steps in a row, or returns to a checkpoint, nothing will be learned any more.
constexpr std::int64_t kMostInARow = 10;

/// "Non-finite gradients in 2 parameters of stage 1: a, b."; nothing where all are finite.
std::string nonfinite_gradients_of(const protocols::ModelPart& part) {
  std::string names;
  int count = 0;
  for (const nn::NamedParameter& parameter : part.model->named_parameters()) {
    const at::Tensor& grad = parameter.tensor().grad();
    if (!grad.defined() || at::isfinite(grad).all().item<bool>()) continue;
    if (++count <= kMaxNames) names += (names.empty() ? "" : ", ") + parameter.name;
  }
  if (count == 0) return {};
  const std::string stage = part.stage.count > 1 ? concat(" of stage ", part.stage.index) : "";
  return concat("Non-finite gradients in ", count, " parameters", stage, ": ", names,
                count > kMaxNames ? ", ..." : "", ".");
}

/// "Such gradients are in stages 1, 3."; those of this rank are `found`.
std::string stages_text(const at::Tensor& found, const comm::RankContext& context) {
  const at::Tensor everywhere = found.to(context.device);
  context.group(mesh::MeshDim::kPp).all_reduce(everywhere, comm::ReduceOp::kMax).wait();
  const at::Tensor flags = everywhere.cpu();
  std::string stages;
  std::int64_t count = 0;
  for (std::int64_t stage = 0; stage < flags.numel(); ++stage) {
    if (flags.const_data_ptr<std::int64_t>()[stage] == 0) continue;
    stages += concat(count++ == 0 ? "" : ", ", stage);
  }
  if (count == 0) return "No gradient of any stage is non-finite.";
  return concat("The pipeline has such gradients in ", count == 1 ? "stage " : "stages ", stages,
                ".");
}

std::string parameters_with_nonfinite_gradients(const protocols::ModelParts& model_parts,
                                                const comm::RankContext& context) {
  const std::int64_t stages = model_parts.front().stage.count;
  const at::Tensor found = at::zeros({stages}, at::kLong);
  std::string text;
  for (const protocols::ModelPart& part : model_parts) {
    const std::string of_part = nonfinite_gradients_of(part);
    if (of_part.empty()) continue;
    text += concat(text.empty() ? "" : " ", of_part);
    found.mutable_data_ptr<std::int64_t>()[part.stage.index] = 1;
  }
  if (text.empty())
    text = stages > 1 ? "No gradient of this rank is non-finite." : "No gradient is non-finite.";
  return context.dims.pp_enabled() ? concat(text, " ", stages_text(found, context)) : text;
}

}  // namespace

std::string describe_nonfinite(const protocols::StepMetrics& metrics,
                               const protocols::ModelParts& model_parts,
                               const comm::RankContext& context) {
  return concat("Step ", metrics.step, ": loss ", base::shortest(metrics.loss), ", gradient norm ",
                base::shortest(metrics.grad_norm), ". ",
                parameters_with_nonfinite_gradients(model_parts, context));
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
      tools::log_warning(describe_nonfinite(metrics, model_parts_, context_),
                         " This step's update is skipped (debug.on_nan = \"skip\").");
      return Verdict::kSkipUpdate;
    case config::OnNan::kRollback:
      if (++returns_ > kMostInARow) {
        give_up(metrics, concat(" The job has gone back ", returns_ - 1,
                                " times without reaching another checkpoint."));
      }
      tools::log_warning(describe_nonfinite(metrics, model_parts_, context_));
      return Verdict::kGoBack;
  }
  throw InternalError("unknown debug.on_nan");
}

void NonfinitePolicy::give_up(const protocols::StepMetrics& metrics, const std::string& why) {
  metrics_.log(metrics);
  metrics_.close();
  throw RunError(describe_nonfinite(metrics, model_parts_, context_) + why);
}

}  // namespace titan::trainer
