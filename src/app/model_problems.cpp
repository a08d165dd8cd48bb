#include "app/engine_commands.h"
#include "titan/base/errors.h"
#include "titan/protocols/model_converter.h"
#include "titan/protocols/train_spec.h"

namespace titan::app {
namespace {

/// Quantization is announced in the list of what is not available yet, with its own words.
bool is_announced(const std::string& converter) { return converter.starts_with("quantize."); }

}  // namespace

config::Problems model_problems(const config::JobConfig& config, const config::Origins& origins) {
  config::Problems problems;
  const auto holds = [&](const char* option, const auto& check) {
    try {
      check();
      return true;
    } catch (const ConfigError& error) {
      const bool is_default = origins.is_default(option);
      problems.push_back(
          {is_default ? concat("default of ", option) : origins.of(option), error.what()});
      return false;
    }
  };
  const config::Model& model = config.model;
  if (holds("model.name", [&] { protocols::get_train_spec(model.name); })) {
    holds("model.flavor", [&] { protocols::get_model_args(model.name, model.flavor); });
  }
  for (const std::string& converter : model.converters) {
    if (is_announced(converter)) continue;
    config::JobConfig with_one;
    with_one.model.converters = {converter};
    holds("model.converters", [&] { protocols::check_model_converters(with_one); });
  }
  return problems;
}

}  // namespace titan::app
