#pragma once

#include <memory>
#include <string>
#include <vector>

#include "titan/comm/rank_context.h"
#include "titan/protocols/metrics.h"
#include "titan/protocols/model_part.h"

namespace titan::components {

/// Counts the tokens of every expert over a step, and moves the biases of their routers towards an even load: by one small amount
/// up or down, the same on all ranks (Wang et al. 2024, auxiliary-loss-free load balancing). Counted is what training's own forwards
/// route - not a forward that backward runs again, and nothing without gradients -, so that a step's counts do not depend on
/// microbatches, stages or recomputation.
class ExpertBalance {
 public:
  /// Listens to the routers of all mixtures of experts in these parts, which outlive it and have their memory.
  ExpertBalance(const protocols::ModelParts& parts, const comm::RankContext& context);
  ~ExpertBalance();
  ExpertBalance(const ExpertBalance&) = delete;
  ExpertBalance& operator=(const ExpertBalance&) = delete;

  /// Whether the model, or any stage of it, has mixtures of experts.
  bool has_experts() const { return !names_.empty(); }
  /// Forgets what was counted: a step that was not finished counts for nothing.
  void begin_step();
  /// Sums the counts over the ranks that read other rows, and moves the biases. For the moment before an optimizer's step; all
  /// ranks call it together.
  void update();
  /// How even the load of the last `update` was, of all layers of the whole model. Warns, once, of a layer half of whose experts
  /// got no token of many. All ranks call it together.
  std::vector<protocols::ExpertLoad> loads() const;

 private:
  struct Counts;
  void move_bias(std::size_t layer, const at::Tensor& tokens) const;

  const comm::RankContext& context_;
  std::vector<std::string> names_;  // of all layers, here or on other stages
  std::vector<std::unique_ptr<Counts>> here_;
  at::Tensor last_;  // fp32 [layers here, experts], over all ranks, of the last step that was finished
};

}  // namespace titan::components
