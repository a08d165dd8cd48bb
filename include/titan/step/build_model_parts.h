#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "titan/protocols/model_converter.h"
#include "titan/protocols/train_spec.h"

namespace titan::config {
struct Training;
}

namespace titan::step {

/// A model as one rank of a job has it, and how large the whole is.
struct RankModel {
  protocols::ModelParts parts;
  protocols::ModelSize size;
  std::vector<std::unique_ptr<protocols::ModelConverter>> converters;
};

/// Builds the model on the meta device: converted, split into stages, parallelized, in this order. Called
/// with each whole model before it is converted where `adjust` is given. Throws ConfigError.
RankModel build_model_parts(const protocols::TrainSpec& spec, const protocols::ModelArgs& args,
                            const comm::RankContext& context, const config::JobConfig& config,
                            const std::function<void(nn::Module&)>& adjust = nullptr);

/// Gives the parts memory and their initial weights, those of one rank with the same seed.
void init_model_parts(protocols::ModelParts& parts, const comm::RankContext& context,
                      const config::Training& training);

}  // namespace titan::step
