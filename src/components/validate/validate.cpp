#include "titan/components/validate.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "titan/base/clock.h"
#include "titan/base/errors.h"
#include "titan/config/training.h"

namespace titan::components {
namespace {

class Validator final : public protocols::Validator {
 public:
  Validator(protocols::ValidatorSetup setup, const config::Validation& config)
      : setup_(std::move(setup)), freq_(config.freq), steps_(config.steps) {}

  bool should_validate(std::int64_t step) const override { return step == 1 || step % freq_ == 0; }

  void validate(std::int64_t step, const std::function<bool()>& should_stop) override {
    const c10::NoGradGuard no_grad;
    if (steps_ == -1 && std::exchange(has_run_, true)) setup_.data->restart();
    at::Tensor loss;
    std::int64_t valid = 0;
    double fetch_start = base::monotonic_seconds();
    for (std::int64_t batches = 0; setup_.data->next(batch_) && batches != steps_; ++batches) {
      if (should_stop()) return;
      setup_.metrics.add_batch(static_cast<std::int64_t>(batch_.labels.size()),
                               base::monotonic_seconds() - fetch_start);
      const at::Tensor sum = setup_.loss_sum(batch_);
      loss = loss.defined() ? loss + sum : sum;
      valid += valid_tokens();
      fetch_start = base::monotonic_seconds();
    }
    if (valid == 0) {
      throw RunError(concat("the validation of step ", step,
                            " found no tokens: the validation data has less than one row of "
                            "validation.seq_len tokens, or none that is trained on"));
    }
    setup_.metrics.log_validation({step, loss.item<double>() / static_cast<double>(valid)});
  }

 private:
  std::int64_t valid_tokens() const {
    return static_cast<std::int64_t>(batch_.labels.size()) -
           std::ranges::count(batch_.labels, protocols::kIgnoreIndex);
  }

  protocols::ValidatorSetup setup_;
  std::int64_t freq_;
  std::int64_t steps_;
  bool has_run_ = false;
  protocols::Batch batch_;  // reused
};

}  // namespace

std::unique_ptr<protocols::Validator> build_validator(protocols::ValidatorSetup setup,
                                                      const config::Validation& config) {
  return std::make_unique<Validator>(std::move(setup), config);
}

}  // namespace titan::components
