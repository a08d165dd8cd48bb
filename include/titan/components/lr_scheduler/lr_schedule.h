#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/config/training.h"

namespace titan::components {

/// What the base learning rate is multiplied with at each step: a linear warm-up, a stable phase,
/// then a decay to `min_lr_factor`. The same doubles as TorchTitan v0.2.2's
/// `linear_warmup_stable_decay`.
class WarmupStableDecay {
 public:
  /// Phases that do not fit into the schedule are cut; `warnings()` says so.
  WarmupStableDecay(const config::LRScheduler& config, std::int64_t training_steps);

  /// The factor of a step counted from 0. After the end of the schedule its last value holds.
  double factor(std::int64_t step) const;

  /// After cutting.
  std::int64_t warmup_steps() const { return warmup_steps_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::int64_t total_steps_;
  std::int64_t warmup_steps_;
  std::int64_t stable_steps_;
  std::int64_t decay_steps_;
  config::DecayType decay_type_;
  double min_lr_factor_;
  std::vector<std::string> warnings_;
};

}  // namespace titan::components
