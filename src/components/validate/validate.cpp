#include "titan/components/validate/validate.h"

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
      : setup_(std::move(setup)),
        freq_(config.freq),
        steps_(config.steps),
        seq_len_(config.seq_len) {}

  bool should_validate(std::int64_t step) const override { return step == 1 || step % freq_ == 0; }

  void validate(std::int64_t step, const std::function<bool()>& should_stop) override {
    const c10::NoGradGuard no_grad;
    if (steps_ == -1 && std::exchange(has_run_, true)) setup_.data->restart();
    at::Tensor loss;
    std::int64_t valid = 0;
    for (std::int64_t batches = 0;; ++batches) {
      const double start = base::monotonic_seconds();
      const bool has_batch = setup_.data->next(batch_) && batches != steps_;
      const double loading_seconds = base::monotonic_seconds() - start;
      protocols::RankFigures figures;
      figures.tokens = has_batch ? 1 : 0;
      figures.any = should_stop();
      figures = setup_.sum_over_ranks(figures);
      if (figures.any) return;
      if (figures.tokens == 0) break;
      // Sharded parameters are gathered by all ranks together: who has no batch computes along.
      if (has_batch) {
        setup_.metrics.add_batch(static_cast<std::int64_t>(batch_.labels.size()), loading_seconds);
      } else {
        batch_ = nothing_to_learn_from();
      }
      const at::Tensor sum = setup_.loss_sum(batch_);
      loss = loss.defined() ? loss + sum : sum;
      valid += valid_tokens();
    }
    protocols::RankFigures totals;
    totals.loss = loss.defined() ? loss.item<double>() : 0;
    totals.tokens = static_cast<double>(valid);
    totals = setup_.sum_over_ranks(totals);
    if (totals.tokens == 0) {
      throw RunError(concat("the validation of step ", step,
                            " found no tokens: the validation data has less than one row of "
                            "validation.seq_len tokens, or none that is trained on"));
    }
    setup_.metrics.log_validation({step, totals.loss / totals.tokens});
  }

 private:
  protocols::Batch nothing_to_learn_from() const {
    protocols::Batch batch;
    batch.rows = 1;
    batch.seq_len = seq_len_;
    batch.input.assign(static_cast<std::size_t>(seq_len_), 0);
    batch.labels.assign(static_cast<std::size_t>(seq_len_), protocols::kIgnoreIndex);
    batch.document_starts.assign(static_cast<std::size_t>(seq_len_), 0);
    batch.document_starts.front() = 1;
    return batch;
  }

  std::int64_t valid_tokens() const {
    return static_cast<std::int64_t>(batch_.labels.size()) -
           std::ranges::count(batch_.labels, protocols::kIgnoreIndex);
  }

  protocols::ValidatorSetup setup_;
  std::int64_t freq_;
  std::int64_t steps_;
  std::int64_t seq_len_;
  bool has_run_ = false;
  protocols::Batch batch_;  // reused
};

}  // namespace

std::unique_ptr<protocols::Validator> build_validator(protocols::ValidatorSetup setup,
                                                      const config::Validation& config) {
  return std::make_unique<Validator>(std::move(setup), config);
}

void skip_validation(protocols::DataLoader& data, std::int64_t steps) {
  protocols::Batch batch;
  for (std::int64_t batches = 0; batches <= steps && data.next(batch); ++batches) {
  }
}

}  // namespace titan::components
