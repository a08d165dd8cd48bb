#include "titan/protocols/train_spec.h"

#include "titan/base/errors.h"

namespace titan::protocols {

namespace {

std::map<std::string, TrainSpec>& registry() {
  static std::map<std::string, TrainSpec> specs;
  return specs;
}

template <class Value>
std::string names_of(const std::map<std::string, Value>& entries) {
  std::string names;
  for (const auto& [name, value] : entries) names += (names.empty() ? "" : ", ") + name;
  return names;
}

}  // namespace

void register_train_spec(const std::string& name, TrainSpec spec) {
  const bool complete = spec.build_model && spec.parallelize && spec.build_optimizers &&
                        spec.build_lr_schedulers && spec.build_dataloader && spec.build_loss &&
                        spec.build_metrics_processor && !spec.model_args.empty();
  if (!complete) throw ConfigError("TrainSpec " + name + " lacks a part that is not optional.");
  if (!registry().emplace(name, std::move(spec)).second) {
    throw ConfigError("TrainSpec " + name + " is already registered.");
  }
}

const TrainSpec& get_train_spec(const std::string& name) {
  const auto found = registry().find(name);
  if (found == registry().end()) {
    throw ConfigError("model.name: TrainSpec " + name +
                      " is not registered. Registered: " + names_of(registry()) + ".");
  }
  return found->second;
}

std::unique_ptr<ModelArgs> get_model_args(const std::string& name, const std::string& flavor) {
  const auto& flavors = get_train_spec(name).model_args;
  const auto found = flavors.find(flavor);
  if (found == flavors.end()) {
    throw ConfigError("model.flavor: " + name + " has no flavor " + flavor +
                      ". Flavors: " + names_of(flavors) + ".");
  }
  return found->second->clone();
}

}  // namespace titan::protocols
