#include "titan/models/deepseek_v3/train_spec.h"

#include "titan/base/errors.h"
#include "titan/models/deepseek_v3/model.h"
#include "titan/pipeline/stages.h"

namespace titan::models::deepseek_v3 {

namespace {

const DeepSeekV3ModelArgs& own_args(const protocols::ModelArgs& args) {
  const auto* result = dynamic_cast<const DeepSeekV3ModelArgs*>(&args);
  TITAN_CHECK(result != nullptr, "deepseek_v3 was given another model's arguments");
  return *result;
}

std::unique_ptr<protocols::ModelProtocol> build_model(const protocols::ModelArgs& args,
                                                      at::ScalarType dtype) {
  return std::make_unique<Transformer>(own_args(args), dtype);
}

}  // namespace

protocols::TrainSpec train_spec(const protocols::TextBuilders& builders) {
  protocols::TrainSpec spec;
  spec.build_model = build_model;
  spec.model_args = flavors();
  spec.parallelize = parallelize_deepseekv3;
  spec.pipelining = pipeline::make_stages;
  spec.build_optimizers = builders.build_optimizers;
  spec.build_lr_schedulers = builders.build_lr_schedulers;
  spec.build_dataloader = builders.build_dataloader;
  spec.build_tokenizer = builders.build_tokenizer;
  spec.build_loss = builders.build_loss;
  spec.build_validator = builders.build_validator;
  spec.build_metrics_processor = builders.build_metrics_processor;
  return spec;
}

}  // namespace titan::models::deepseek_v3
