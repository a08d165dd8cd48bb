#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "titan/parallel/layout.h"
#include "titan/parallel/sharding.h"
#include "titan/protocols/model.h"

namespace titan::protocols {

/// A place in a pipeline.
struct Stage {
  std::int64_t index = 0;
  std::int64_t count = 1;
  /// Of what goes between stages of one microbatch, before anything cuts it.
  std::vector<std::int64_t> between = {};

  bool is_first() const { return index == 0; }
  bool is_last() const { return index + 1 == count; }
};

/// A model, or one stage of it, as one rank has it. A stage is the whole tree of modules, of which those of
/// other stages are not here (nn::Module::is_here).
struct ModelPart {
  std::unique_ptr<ModelProtocol> model;
  std::shared_ptr<parallel::Sharding> sharding;
  Stage stage = {};
};

/// The parts that one rank has, in the order in which data passes them.
using ModelParts = std::vector<ModelPart>;

/// The parameters of all parts that are here, each once: what optimizer, norm and clipping work on.
std::vector<nn::NamedParameter> named_parameters(const ModelParts& parts);
/// The same without names.
parallel::Parameters parameters_of(const ModelParts& parts);

}  // namespace titan::protocols
