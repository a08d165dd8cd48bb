#pragma once

#include "titan/protocols/model.h"

namespace titan::step {

/// Throws ConfigError where a step of the model cannot be captured as a device graph (`compile.cuda_graphs`): the host
/// has to know something in its middle, or what is done follows from the data.
void check_can_be_captured(protocols::ModelProtocol& model);

}  // namespace titan::step
