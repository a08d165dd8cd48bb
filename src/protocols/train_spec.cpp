#include "titan/protocols/train_spec.h"

#include <ranges>
#include <utility>

#include "titan/base/errors.h"
#include "titan/protocols/registry.h"

namespace titan::protocols {

namespace {

Registry<TrainSpec>& registry() {
  static Registry<TrainSpec> specs("TrainSpec");
  return specs;
}

}  // namespace

void register_train_spec(const std::string& name, TrainSpec spec) {
  const bool complete = spec.build_model && spec.parallelize && spec.build_optimizers &&
                        spec.build_lr_schedulers && spec.build_dataloader && spec.build_loss &&
                        spec.build_metrics_processor && !spec.model_args.empty();
  if (!complete) throw ConfigError("TrainSpec " + name + " lacks a part that is not optional.");
  registry().add(name, std::move(spec));
}

const TrainSpec& get_train_spec(const std::string& name) {
  return registry().find("model.name", name);
}

std::unique_ptr<ModelArgs> get_model_args(const std::string& name, const std::string& flavor) {
  const auto& flavors = get_train_spec(name).model_args;
  const auto found = flavors.find(flavor);
  if (found == flavors.end()) {
    throw ConfigError("model.flavor: " + name + " has no flavor " + flavor +
                      ". Flavors: " + joined(std::views::keys(flavors)) + ".");
  }
  return found->second->clone();
}

}  // namespace titan::protocols
