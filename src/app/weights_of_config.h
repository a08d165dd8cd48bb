#pragma once

#include <memory>
#include <string>

#include "titan/config/command_line.h"
#include "titan/protocols/train_spec.h"

namespace titan::app {

/// The adapter between the model of the config and Hugging Face's weights in `folder`. Throws ConfigError
/// for a model that has none.
std::unique_ptr<protocols::StateDictAdapter> hf_adapter(const config::JobConfig& config,
                                                        const protocols::ModelArgs& args,
                                                        const std::string& folder);

/// The arguments of the config's model, with the config's sequence length; logs what is odd.
std::unique_ptr<protocols::ModelArgs> model_args_of(const config::JobConfig& config);

}  // namespace titan::app
