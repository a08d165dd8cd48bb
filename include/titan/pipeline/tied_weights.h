#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/comm/rank_context.h"
#include "titan/nn/module.h"
#include "titan/pipeline/stages.h"
#include "titan/protocols/model_part.h"

namespace titan::pipeline {

/// A parameter that modules of several stages share (tied weights). Each of these stages has it, and computes a part of
/// its gradient.
struct TiedParameter {
  std::string name;  // its first
  nn::Parameter* parameter = nullptr;
  std::vector<std::int64_t> stages;  // in order, two or more
};

/// Those of a model, whole or a stage, whose modules are on these stages (Plan::modules).
std::vector<TiedParameter> tied_parameters(const nn::Module& model,
                                           const std::vector<std::vector<std::string>>& modules);

/// Keeps a tied parameter one: equal where it begins, it has the same gradient on all its stages, and so the same
/// updates, bit for bit. Two stages of one rank have it twice, too.
class TiedWeights {
 public:
  /// `parts`: this rank's, which outlive the object.
  TiedWeights(const protocols::ModelParts& parts, const Plan& plan,
              const comm::RankContext& context);

  /// Adds the gradients of all stages up, in the order of the stages: once per step, when each is summed over the ranks of
  /// its stage. All ranks of the pipeline call it together. `step` is for messages about hangs.
  void sum_gradients(std::int64_t step) const;

 private:
  /// A stage that has the parameter.
  struct Holder {
    nn::Parameter* parameter;  // null: another rank's
    std::int64_t rank;         // in the pipeline
  };
  using Holders = std::vector<Holder>;  // in the order of the stages

  const comm::RankContext& context_;
  std::vector<Holders> tied_;  // of the parameters that this rank has
};

}  // namespace titan::pipeline
