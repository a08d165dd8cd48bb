#include "config/compatibility.h"

#include "titan/base/errors.h"

namespace titan::config {

std::vector<std::string> modernize(JobConfig& config, Origins& origins) {
  std::vector<std::string> warnings;
  if (!config.experimental.custom_args_module.empty()) {
    warnings.push_back(concat(origins.of("experimental.custom_args_module"),
                              ": experimental.custom_args_module is deprecated and has no effect"));
  }
  if (config.model.tokenizer_path) {
    const std::string origin = origins.of("model.tokenizer_path");
    warnings.push_back(concat(origin,
                              ": model.tokenizer_path is deprecated, use model.hf_assets_path. "
                              "Setting hf_assets_path to tokenizer_path, '",
                              *config.model.tokenizer_path, "'"));
    config.model.hf_assets_path = *config.model.tokenizer_path;
    config.model.tokenizer_path.reset();
    origins.set("model.hf_assets_path", origin);
  }
  for (std::string& converter : config.model.converters) {
    if (converter == "float8") {
      converter = "quantize.linear.float8";
      warnings.push_back(concat(origins.of("model.converters"),
                                ": converter \"float8\" is deprecated, use "
                                "\"quantize.linear.float8\""));
    }
  }
  return warnings;
}

}  // namespace titan::config
