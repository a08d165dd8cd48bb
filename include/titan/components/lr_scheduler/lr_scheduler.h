#pragma once

#include <cstdint>
#include <memory>

#include "titan/protocols/optimizer.h"

namespace titan::config {
struct LRScheduler;
}

namespace titan::components {

/// Sets the optimizers' learning rate to `base_lr * factor` of WarmupStableDecay, for the first
/// step at once. `optimizers` must outlive the result. Logs what was cut from the schedule.
std::unique_ptr<protocols::LRSchedulers> build_lr_schedulers(protocols::Optimizers& optimizers,
                                                             const config::LRScheduler& config,
                                                             std::int64_t training_steps);

}  // namespace titan::components
