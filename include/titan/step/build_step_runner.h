#pragma once

#include <memory>

#include "titan/protocols/train_spec.h"

namespace titan::step {

/// The runner that the model brings, or that of a language model. Throws ConfigError.
std::unique_ptr<protocols::StepRunner> build_step_runner(const protocols::TrainSpec& spec,
                                                         protocols::StepSetup setup);

}  // namespace titan::step
