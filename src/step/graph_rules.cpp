#include "titan/step/graph_rules.h"

#include "titan/base/errors.h"
#include "titan/nn/moe/moe.h"

namespace titan::step {

void check_can_be_captured(protocols::ModelProtocol& model) {
  if (model.attends_within_documents()) {
    throw ConfigError(
        "compile.cuda_graphs: this model.flavor attends within documents, whose lengths are others "
        "in every batch, and a graph has those of the one that was captured. Choose a flavor that "
        "attends to everything before a token");
  }
  for (const auto& [name, module] : model.named_modules()) {
    if (dynamic_cast<const nn::MoE*>(module) == nullptr) continue;
    throw ConfigError(
        concat("compile.cuda_graphs: the host counts the rows of each expert of ", name,
               ", which are others in every step; models with experts are not captured"));
  }
}

}  // namespace titan::step
