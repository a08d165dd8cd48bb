#pragma once

#include <memory>
#include <string>

#include "titan/base/errors.h"
#include "titan/protocols/train_spec.h"

namespace titan::protocols {

/// What every part of a spec is given `Args` by.
template <class Args>
const Args& own_args(const ModelArgs& args) {
  const auto* own = dynamic_cast<const Args*>(&args);
  TITAN_CHECK(own != nullptr, "a model was given another model's arguments");
  return *own;
}

/// A language model with the shared text components. What is left to say are its flavors and what is done to it on many ranks.
template <class Args, class Model, class Adapter>
TrainSpec language_model_spec(const TextBuilders& builders) {
  TrainSpec spec;
  spec.build_model = [](const ModelArgs& args, at::ScalarType dtype) {
    return std::make_unique<Model>(own_args<Args>(args), dtype);
  };
  spec.build_state_dict_adapter = [](const ModelArgs& args, const std::string&) {
    return std::make_unique<Adapter>(own_args<Args>(args));
  };
  spec.build_optimizers = builders.build_optimizers;
  spec.build_lr_schedulers = builders.build_lr_schedulers;
  spec.build_dataloader = builders.build_dataloader;
  spec.build_tokenizer = builders.build_tokenizer;
  spec.build_loss = builders.build_loss;
  spec.build_validator = builders.build_validator;
  spec.build_metrics_processor = builders.build_metrics_processor;
  return spec;
}

}  // namespace titan::protocols
