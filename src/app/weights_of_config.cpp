#include "app/weights_of_config.h"

#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::app {

std::unique_ptr<protocols::StateDictAdapter> hf_adapter(const config::JobConfig& config,
                                                        const protocols::ModelArgs& args,
                                                        const std::string& folder) {
  const protocols::TrainSpec& spec = protocols::get_train_spec(config.model.name);
  if (!spec.build_state_dict_adapter) {
    throw ConfigError(concat("model.name: ", config.model.name,
                             " does not know its weights' names at Hugging Face"));
  }
  return spec.build_state_dict_adapter(args, folder);
}

std::unique_ptr<protocols::ModelArgs> model_args_of(const config::JobConfig& config) {
  auto args = protocols::get_model_args(config.model.name, config.model.flavor);
  for (const std::string& warning : args->update_from_config(config)) tools::log_warning(warning);
  return args;
}

}  // namespace titan::app
