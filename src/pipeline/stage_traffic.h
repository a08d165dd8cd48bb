#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "pipeline/phases.h"
#include "titan/comm/rank_context.h"
#include "titan/pipeline/boundary.h"
#include "titan/schedule/schedule.h"

namespace titan::pipeline {

/// What goes from stage to stage in one run: to and from other ranks in messages, between two stages of this rank from hand to hand.
/// Activations that were sent are held until their gradient has come, a gradient until the next is sent.
class StageTraffic {
 public:
  /// All outlive the object.
  StageTraffic(const schedule::Placement& placement, const Boundary& boundary,
               const comm::RankContext& context, const Phases& phases);

  /// Messages of one moment: all are under way when it returns.
  void exchange(std::span<const schedule::Action> messages);
  /// What a stage's forward begins with, and its backward; waits for it. Undefined for the first stage, and for the last. `during`: the
  /// action that waits.
  at::Tensor take_activations(const schedule::Action& forward, const schedule::Action& during);
  at::Tensor take_gradient(const schedule::Action& backward, const schedule::Action& during);
  /// What a stage's forward has made for the next one, and its backward for the one before.
  void give_activations(const schedule::Action& forward, const at::Tensor& output);
  void give_gradient(const schedule::Action& backward, const at::Tensor& input);
  /// Waits until all is sent.
  void finish_sends();

 private:
  using Key = std::pair<std::int64_t, std::int64_t>;  // stage, microbatch
  /// Of an exchange, shared by its messages.
  using SharedWork = std::shared_ptr<comm::Work>;
  /// A tensor from or for another stage: there, or on its way.
  struct Arrival {
    at::Tensor tensor;
    SharedWork work = nullptr;
  };

  comm::Message message_of(const schedule::Action& action, const SharedWork& work);
  comm::Message send(std::map<Key, Arrival>& from, const Key& key, const schedule::Action& action);
  comm::Message receive(std::map<Key, Arrival>& into, const Key& key, std::int64_t from,
                        const SharedWork& work);
  at::Tensor take(std::map<Key, Arrival>& from, const Key& key, const schedule::Action& during);
  void check_boundary(std::int64_t stage, const at::Tensor& output) const;

  const schedule::Placement& placement_;
  const Boundary& boundary_;
  const comm::RankContext& context_;
  const Phases& phases_;
  comm::ProcessGroup& group_;
  std::map<Key, Arrival> activations_;  // by the stage that they go into
  std::map<Key, Arrival> gradients_;    // by the stage whose output they are of
  // What is being sent, which holds on to its tensors.
  std::map<Key, SharedWork> sent_activations_;         // by stage and microbatch
  std::map<std::int64_t, SharedWork> sent_gradients_;  // by stage: the last one's
};

}  // namespace titan::pipeline
