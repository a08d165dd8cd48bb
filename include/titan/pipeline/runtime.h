#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "titan/comm/rank_context.h"
#include "titan/nn/module.h"
#include "titan/parallel/sharding.h"
#include "titan/pipeline/boundary.h"
#include "titan/pipeline/timeline.h"
#include "titan/schedule/schedule.h"

namespace titan::pipeline {

class Phases;
class Turns;

/// A stage of this rank. What it points to outlives it. Weights' gradients wait only where the model lets them
/// (autograd::let_weights_wait).
struct Stage {
  std::int64_t index = 0;
  nn::Module* model = nullptr;
  parallel::Sharding* sharding = nullptr;
};

/// What a stage makes of a microbatch: of its input, which the first stage is not given, activations; the last stage's
/// are results: a loss, or logits.
using StageForward =
    std::function<at::Tensor(const Stage& stage, std::int64_t microbatch, const at::Tensor& input)>;

/// Runs one rank's actions of a schedule, of whatever kind. All ranks of the pipeline do so together.
class Runtime {
 public:
  /// `computations`: a schedule without communication, which is added here (schedule/lowering.h). `stages`: those of
  /// this rank. Throws ConfigError for a schedule that gets stuck.
  Runtime(const schedule::Schedule& computations, std::vector<Stage> stages, Boundary boundary,
          const comm::RankContext& context);
  ~Runtime();

  /// Has the forward and the backward of an overlap take turns at exchanges of rows in `group`, which outlives the object: each
  /// computes while the other's rows travel. Without it they come one after the other. The results are the same.
  void overlap_exchanges_of(comm::ProcessGroup& group);

  /// Forward and backward of all microbatches. Gradients stay whole until a stage's last backward; then they are summed
  /// over its data ranks where `reduces` says so. Returns the last stage's results, by microbatch, detached;
  /// nothing on ranks that do not have it.
  /// `stopwatch` measures what is computed, where it is given.
  std::vector<at::Tensor> run(const StageForward& forward, bool reduces, std::int64_t step,
                              Stopwatch* stopwatch = nullptr);

  /// Forward only, of any number of microbatches whose boundaries are `boundary`. `purpose`: "validation", for messages about
  /// hangs, with the step that was run last. Returns as `run`.
  std::vector<at::Tensor> run_forward(const StageForward& forward, std::int64_t microbatches,
                                      const Boundary& boundary, const std::string& purpose);

  /// Performs an action of `run`: calls `really`, or does without where it knows what comes of it (a forecast).
  using Performer =
      std::function<void(const schedule::Action& action, const std::function<void()>& really)>;
  void perform_by(Performer performer) { performer_ = std::move(performer); }

  bool has_last_stage() const;
  /// The place in the pipeline's group of the rank that has the last stage.
  std::int64_t last_rank() const { return placement_.rank_of(placement_.stages() - 1); }
  /// This rank's actions, in order, for who wants to compare.
  const std::vector<schedule::Action>& actions() const { return actions_; }
  /// Those of the last `run`, as they were done.
  const std::vector<schedule::Action>& done() const { return done_; }

 private:
  class Run;

  const Stage& stage(std::int64_t index) const;

  schedule::Placement placement_;
  bool splits_backward_ = false;
  std::vector<schedule::Action> actions_;
  std::vector<Stage> stages_;
  Boundary boundary_;
  const comm::RankContext& context_;
  std::vector<schedule::Action> done_;
  Performer performer_;
  std::unique_ptr<Phases> phases_;
  // Null where overlaps come one after the other.
  std::unique_ptr<Turns> turns_;
  comm::ProcessGroup* exchanges_ = nullptr;
};

}  // namespace titan::pipeline
