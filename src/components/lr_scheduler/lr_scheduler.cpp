#include "titan/components/lr_scheduler/lr_scheduler.h"

#include <string>
#include <utility>

#include "titan/components/lr_scheduler/lr_schedule.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

/// PyTorch's LambdaLR over a WarmupStableDecay.
class LambdaLR : public protocols::LRSchedulers {
 public:
  LambdaLR(protocols::Optimizers& optimizers, WarmupStableDecay schedule)
      : optimizers_(optimizers), schedule_(std::move(schedule)) {
    set_lr();
  }

  void step() override {
    ++last_epoch_;
    set_lr();
  }

  double last_lr() const override { return last_lr_; }
  std::int64_t last_epoch() const override { return last_epoch_; }
  void restore(std::int64_t last_epoch, std::optional<double> lr) override {
    last_epoch_ = last_epoch;
    set_lr();
    if (!lr) return;
    last_lr_ = *lr;
    optimizers_.set_lr(last_lr_);
  }

 private:
  void set_lr() {
    last_lr_ = optimizers_.base_lr() * schedule_.factor(last_epoch_);
    optimizers_.set_lr(last_lr_);
  }

  protocols::Optimizers& optimizers_;
  WarmupStableDecay schedule_;
  std::int64_t last_epoch_ = 0;  // the coming step, counted from 0
  double last_lr_ = 0;
};

}  // namespace

std::unique_ptr<protocols::LRSchedulers> build_lr_schedulers(protocols::Optimizers& optimizers,
                                                             const config::LRScheduler& config,
                                                             std::int64_t training_steps) {
  WarmupStableDecay schedule(config, training_steps);
  for (const std::string& warning : schedule.warnings()) {
    tools::log_warning(warning);
  }
  return std::make_unique<LambdaLR>(optimizers, std::move(schedule));
}

}  // namespace titan::components
