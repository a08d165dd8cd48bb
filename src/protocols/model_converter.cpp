#include "titan/protocols/model_converter.h"

#include <utility>

#include "titan/config/job_config.h"
#include "titan/protocols/registry.h"

namespace titan::protocols {

namespace {

Registry<BuildModelConverterFn>& registry() {
  static Registry<BuildModelConverterFn> converters("converter");
  return converters;
}

}  // namespace

void register_model_converter(const std::string& name, BuildModelConverterFn build) {
  registry().add(name, std::move(build));
}

void check_model_converters(const config::JobConfig& config) {
  for (const std::string& name : config.model.converters) {
    registry().find("model.converters", name);
  }
}

std::vector<std::unique_ptr<ModelConverter>> build_model_converters(
    const config::JobConfig& config, const comm::RankContext& context) {
  std::vector<std::unique_ptr<ModelConverter>> result;
  for (const std::string& name : config.model.converters) {
    result.push_back(registry().find("model.converters", name)(config, context));
  }
  return result;
}

}  // namespace titan::protocols
