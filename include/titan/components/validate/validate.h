#pragma once

#include <memory>

#include "titan/protocols/validator.h"

namespace titan::config {
struct Validation;
}

namespace titan::components {

/// Validates after the first step and every `validation.freq`-th. The loss is that of all valid
/// tokens together. With `steps` = n, a validation takes n batches and the next one goes on behind
/// them, as in TorchTitan: one more batch is fetched and left out. With -1 it takes all the data,
/// every time the same.
std::unique_ptr<protocols::Validator> build_validator(protocols::ValidatorSetup setup,
                                                      const config::Validation& config);

/// Reads as many batches as a validation of `steps` batches does.
void skip_validation(protocols::DataLoader& data, std::int64_t steps);

}  // namespace titan::components
