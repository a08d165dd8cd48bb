#include "pipeline/stage_traffic.h"

#include <ATen/ops/empty.h>

#include <vector>

#include "titan/base/errors.h"

namespace titan::pipeline {

using schedule::Action;
using schedule::Op;

StageTraffic::StageTraffic(const schedule::Placement& placement, const Boundary& boundary,
                           const comm::RankContext& context, const Phases& phases)
    : placement_(placement),
      boundary_(boundary),
      context_(context),
      phases_(phases),
      group_(context.group(mesh::MeshDim::kPp)) {}

void StageTraffic::exchange(std::span<const Action> actions) {
  std::vector<comm::Message> messages;
  const auto work = std::make_shared<comm::Work>();
  for (const Action& action : actions) messages.push_back(message_of(action, work));
  *work = group_.exchange(messages);
}

comm::Message StageTraffic::message_of(const Action& action, const SharedWork& work) {
  const auto [stage, op, microbatch, parts] = action;
  const Key key(stage, microbatch);
  switch (op) {
    case Op::kSendForward:
      sent_activations_[key] = work;
      return send(activations_, {stage + 1, microbatch}, action);
    case Op::kReceiveForward:
      return receive(activations_, key, stage - 1, work);
    case Op::kSendBackward: {
      SharedWork& sent = sent_gradients_[stage];
      // A gradient's memory is free when the next is sent. The peer receives it before it needs that one.
      if (sent != nullptr) sent->wait();
      sent = work;
      return send(gradients_, {stage - 1, microbatch}, action);
    }
    case Op::kReceiveBackward:
      return receive(gradients_, key, stage + 1, work);
    default:
      throw InternalError(concat(schedule::text(action), " is no message"));
  }
}

/// To the stage of `key`, on another rank.
comm::Message StageTraffic::send(std::map<Key, Arrival>& from, const Key& key,
                                 const Action& action) {
  phases_.enter(action);
  return {take(from, key, action).contiguous(), placement_.rank_of(key.first),
          comm::Message::Direction::kSend};
}

/// To ask for a message takes no time; to wait for it is said by who does. `from`: a stage of another rank.
comm::Message StageTraffic::receive(std::map<Key, Arrival>& into, const Key& key, std::int64_t from,
                                    const SharedWork& work) {
  const at::Tensor tensor = at::empty(
      boundary_.sizes, at::TensorOptions().dtype(boundary_.dtype).device(context_.device));
  into[key] = {tensor, work};
  return {tensor, placement_.rank_of(from), comm::Message::Direction::kReceive};
}

at::Tensor StageTraffic::take(std::map<Key, Arrival>& from, const Key& key, const Action& during) {
  Arrival arrival = std::move(from.at(key));
  from.erase(key);
  if (arrival.work != nullptr && arrival.work->pending()) {
    const Op op = &from == &activations_ ? Op::kReceiveForward : Op::kReceiveBackward;
    phases_.enter({key.first, op, key.second});
    arrival.work->wait();
    phases_.enter(during);
  }
  return arrival.tensor;
}

at::Tensor StageTraffic::take_activations(const Action& forward, const Action& during) {
  if (forward.stage == 0) return {};
  return take(activations_, {forward.stage, forward.microbatch}, during);
}

at::Tensor StageTraffic::take_gradient(const Action& backward, const Action& during) {
  if (backward.stage + 1 == placement_.stages()) return {};
  const Key key(backward.stage, backward.microbatch);
  at::Tensor gradient = take(gradients_, key, during);
  // Who has sent it has had the activations: their memory is free.
  if (const auto sent = sent_activations_.find(key); sent != sent_activations_.end()) {
    sent->second->wait();
    sent_activations_.erase(sent);
  }
  return gradient;
}

void StageTraffic::give_activations(const Action& forward, const at::Tensor& output) {
  check_boundary(forward.stage, output);
  activations_[{forward.stage + 1, forward.microbatch}] = {output.detach()};
}

void StageTraffic::give_gradient(const Action& backward, const at::Tensor& input) {
  if (backward.stage == 0) return;
  gradients_[{backward.stage - 1, backward.microbatch}] = {input.grad()};
}

void StageTraffic::check_boundary(std::int64_t stage, const at::Tensor& output) const {
  if (output.sizes() == at::IntArrayRef(boundary_.sizes) &&
      output.scalar_type() == boundary_.dtype) {
    return;
  }
  throw InternalError(concat("stage ", stage, " makes ", output.toString(), "[",
                             joined(output.sizes()), "], stage ", stage + 1, " expects ",
                             c10::toString(boundary_.dtype), "[", joined(boundary_.sizes), "]"));
}

void StageTraffic::finish_sends() {
  if (sent_activations_.empty() && sent_gradients_.empty()) return;
  phases_.enter("sending what other stages need");
  for (auto& [key, work] : sent_activations_) work->wait();
  for (auto& [stage, work] : sent_gradients_) work->wait();
}

}  // namespace titan::pipeline
