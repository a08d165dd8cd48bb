#include "titan/components/lr_scheduler/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "titan/base/errors.h"

namespace titan::components {
namespace {

constexpr std::int64_t kMostSteps = std::numeric_limits<std::int64_t>::max();

/// The share of the learning rate that is left after `progress` (0 to 1) of the decay.
double decayed(config::DecayType type, double progress) {
  switch (type) {
    case config::DecayType::kLinear:
      return 1 - progress;
    case config::DecayType::kSqrt:
      return 1 - std::sqrt(progress);
    case config::DecayType::kCosine:
      return 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  }
  TITAN_CHECK(false, "unknown decay type ", static_cast<int>(type));
}

}  // namespace

WarmupStableDecay::WarmupStableDecay(const config::LRScheduler& config, std::int64_t training_steps)
    : total_steps_(config.total_steps.value_or(training_steps)),
      warmup_steps_(config.warmup_steps),
      decay_type_(config.decay_type),
      min_lr_factor_(config.min_lr_factor) {
  if (warmup_steps_ > total_steps_) {
    warnings_.push_back(concat("Warmup steps (", warmup_steps_, ") exceed total steps (",
                               total_steps_, "). Adjusting warmup steps to ", total_steps_, "."));
    warmup_steps_ = total_steps_;
  }
  const std::int64_t after_warmup = total_steps_ - warmup_steps_;
  decay_steps_ = after_warmup;
  if (config.decay_ratio) {
    // nearbyint rounds halves to even, as Python's round() does.
    const double wanted = std::nearbyint(static_cast<double>(total_steps_) * *config.decay_ratio);
    decay_steps_ = wanted < 0x1p63 ? static_cast<std::int64_t>(wanted) : kMostSteps;
    if (decay_steps_ > after_warmup) {
      warnings_.push_back(concat("Warmup (", warmup_steps_, ") + decay (", decay_steps_,
                                 ") steps exceed total steps (", total_steps_,
                                 "). Adjusting decay steps to ", after_warmup, "."));
      decay_steps_ = after_warmup;
    }
  }
  // One virtual step more keeps the last real one from a learning rate of 0.
  stable_steps_ = std::min(after_warmup - decay_steps_, kMostSteps - 1 - warmup_steps_) + 1;
  if (training_steps > total_steps_) {
    warnings_.push_back(concat("The learning-rate schedule ends after lr_scheduler.total_steps = ",
                               total_steps_, ", training after training.steps = ", training_steps,
                               ". The last learning rate holds in between."));
  }
}

double WarmupStableDecay::factor(std::int64_t step) const {
  if (step < warmup_steps_) {
    return static_cast<double>(step + 1) / static_cast<double>(warmup_steps_);
  }
  const std::int64_t decay_start = warmup_steps_ + stable_steps_;
  // The original goes on decaying after the end, to negative learning rates.
  step = std::min(step, total_steps_);
  if (step < decay_start) {
    return 1.0;
  }
  const double progress =
      static_cast<double>(step + 1 - decay_start) / static_cast<double>(decay_steps_);
  return min_lr_factor_ + (1 - min_lr_factor_) * decayed(decay_type_, progress);
}

}  // namespace titan::components
