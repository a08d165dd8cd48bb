#include "titan/pipeline/runtime.h"

#include <ATen/ops/empty.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "titan/autograd/split_backward.h"
#include "titan/base/errors.h"
#include "titan/schedule/lowering.h"
#include "titan/watch/watch.h"

namespace titan::pipeline {

using schedule::Action;
using schedule::Op;

namespace {

/// Whether a schedule has backwards of two halves.
bool has_halves(const std::vector<Action>& actions) {
  return std::ranges::any_of(actions, [](const Action& whole) {
    return std::ranges::any_of(schedule::parts_of(whole), [](const Action& action) {
      return action.op == Op::kInputGradient;
    });
  });
}

}  // namespace

/// One run through the actions: what is between them.
class Runtime::Run {
 public:
  Run(Runtime& runtime, const StageForward& forward, const Boundary& boundary, bool trains,
      bool reduces, Stopwatch* stopwatch = nullptr)
      : runtime_(runtime),
        forward_(forward),
        boundary_(boundary),
        group_(runtime.context_.group(mesh::MeshDim::kPp)),
        trains_(trains),
        reduces_(reduces),
        stopwatch_(stopwatch) {}

  std::vector<at::Tensor> run(const std::vector<Action>& actions) {
    for (std::size_t i = 0; i < actions.size();) {
      // Who performs actions in our stead does so one by one.
      const bool is_alone = trains_ && runtime_.performer_ != nullptr;
      const std::size_t messages = is_alone ? 0 : schedule::exchange_length(actions, i);
      const auto here = std::span(actions).subspan(i, std::max<std::size_t>(messages, 1));
      if (messages > 0) {
        exchange(here);
      } else {
        for (const Action& action : schedule::parts_of(here.front())) {
          is_alone ? runtime_.performer_(action, [&] { perform(action); }) : perform(action);
        }
      }
      runtime_.done_.insert(runtime_.done_.end(), here.begin(), here.end());
      i += here.size();
    }
    finish_sends();
    return std::move(results_);
  }

 private:
  using Key = std::pair<std::int64_t, std::int64_t>;  // stage, microbatch

  /// A microbatch's way through a stage, from forward to the end of its backward.
  struct Passage {
    at::Tensor input;  // a leaf; undefined for the first stage
    at::Tensor output;
    std::unique_ptr<autograd::SplitBackward> halves;
  };
  /// Of an exchange, shared by its messages.
  using SharedWork = std::shared_ptr<comm::Work>;
  /// A tensor from or for another stage: there, or on its way.
  struct Arrival {
    at::Tensor tensor;
    SharedWork work = nullptr;
  };

  /// While it lives, a computation goes on, whose inputs are there: for a stopwatch, and by name in a profiler's trace.
  class Computing {
   public:
    Computing(const Run& run, const Action& action)
        : stopwatch_(run.stopwatch_), range_(at::RecordScope::USER_SCOPE) {
      if (stopwatch_ != nullptr) stopwatch_->begin(action);
      if (range_.isActive()) range_.before(run.runtime_.phase_of(action));
    }
    ~Computing() {
      if (stopwatch_ != nullptr) stopwatch_->end();
    }
    Computing(const Computing&) = delete;
    Computing& operator=(const Computing&) = delete;

   private:
    Stopwatch* stopwatch_;
    at::RecordFunction range_;
  };

  void perform(const Action& action) {
    if (schedule::is_message(action.op)) return exchange({&action, 1});
    enter_phase(action);
    parallel::Sharding& sharding = *runtime_.stage(action.stage).sharding;
    switch (action.op) {
      case Op::kForward:
        return forward(action);
      case Op::kBackward:
        return backward(action);
      case Op::kInputGradient:
        return backward_inputs(action);
      case Op::kWeightGradient:
        return backward_weights(action);
      case Op::kUnshard:
        return sharding.unshard();
      case Op::kReshard:
        return sharding.reshard();
      case Op::kReduceGradients:
        if (reduces_ || sharding.sums_every_microbatch()) sharding.reduce_gradients();
        return;
      default:
        throw InternalError(concat("nobody performs ", schedule::text(action)));
    }
  }

  void finish_sends() {
    if (sent_activations_.empty() && sent_gradients_.empty()) return;
    runtime_.enter_phase("sending what other stages need");
    for (auto& [key, work] : sent_activations_) work->wait();
    for (auto& [stage, work] : sent_gradients_) work->wait();
  }

  /// For messages about ranks that hang.
  void enter_phase(const Action& action) const {
    if (runtime_.context_.watch != nullptr) runtime_.enter_phase(runtime_.phase_of(action));
  }

  /// What has arrived for a stage's microbatch, which `action` waits for.
  at::Tensor take(std::map<Key, Arrival>& from, const Key& key, const Action& action) {
    Arrival arrival = std::move(from.at(key));
    from.erase(key);
    if (arrival.work != nullptr && arrival.work->pending()) {
      const Op op = &from == &activations_ ? Op::kReceiveForward : Op::kReceiveBackward;
      enter_phase({key.first, op, key.second});
      arrival.work->wait();
      enter_phase(action);
    }
    return arrival.tensor;
  }

  /// Sends and receives of one moment.
  void exchange(std::span<const Action> actions) {
    std::vector<comm::Message> messages;
    const auto work = std::make_shared<comm::Work>();
    for (const Action& action : actions) messages.push_back(message_of(action, work));
    *work = group_.exchange(messages);
  }

  comm::Message message_of(const Action& action, const SharedWork& work) {
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
  comm::Message send(std::map<Key, Arrival>& from, const Key& key, const Action& action) {
    enter_phase(action);
    return {take(from, key, action).contiguous(), runtime_.placement_.rank_of(key.first),
            comm::Message::Direction::kSend};
  }

  /// To ask for a message takes no time; to wait for it is said by who does. `from`: a stage of another rank.
  comm::Message receive(std::map<Key, Arrival>& into, const Key& key, std::int64_t from,
                        const SharedWork& work) {
    const at::Tensor tensor =
        at::empty(boundary_.sizes,
                  at::TensorOptions().dtype(boundary_.dtype).device(runtime_.context_.device));
    into[key] = {tensor, work};
    return {tensor, runtime_.placement_.rank_of(from), comm::Message::Direction::kReceive};
  }
  void forward(const Action& action) {
    const std::int64_t index = action.stage;
    const std::int64_t microbatch = action.microbatch;
    const Stage& stage = runtime_.stage(index);
    const bool is_last = index + 1 == runtime_.placement_.stages();
    Passage passage;
    if (index > 0) {
      passage.input = take(activations_, {index, microbatch}, action);
      if (trains_) passage.input.requires_grad_();
    }
    const Computing computing(*this, action);
    if (trains_ && runtime_.splits_backward_) {
      passage.halves = std::make_unique<autograd::SplitBackward>();
      const autograd::SplitBackward::ForwardScope scope(*passage.halves);
      passage.output = forward_(stage, microbatch, passage.input);
    } else {
      passage.output = forward_(stage, microbatch, passage.input);
    }
    if (is_last) {
      results_.push_back(passage.output.detach());
    } else {
      check_boundary(index, passage.output);
      activations_[{index + 1, microbatch}] = {passage.output.detach()};
    }
    if (trains_) passages_[{index, microbatch}] = std::move(passage);
  }

  void check_boundary(std::int64_t index, const at::Tensor& output) const {
    if (output.sizes() == at::IntArrayRef(boundary_.sizes) &&
        output.scalar_type() == boundary_.dtype) {
      return;
    }
    throw InternalError(concat("stage ", index, " makes ", output.toString(), "[",
                               joined(output.sizes()), "], stage ", index + 1, " expects ",
                               c10::toString(boundary_.dtype), "[", joined(boundary_.sizes), "]"));
  }

  /// Undefined for the last stage, whose output is the loss.
  at::Tensor gradient_for(const Action& action) {
    if (action.stage + 1 == runtime_.placement_.stages()) return {};
    at::Tensor gradient = take(gradients_, {action.stage, action.microbatch}, action);
    // Who has sent it has had the activations: their memory is free.
    if (const auto sent = sent_activations_.find({action.stage, action.microbatch});
        sent != sent_activations_.end()) {
      sent->second->wait();
      sent_activations_.erase(sent);
    }
    return gradient;
  }

  void pass_on_gradient(const Action& action, const at::Tensor& input) {
    if (action.stage > 0) gradients_[{action.stage - 1, action.microbatch}] = {input.grad()};
  }

  void backward(const Action& action) {
    const Passage& passage = passages_.at({action.stage, action.microbatch});
    const at::Tensor gradient = gradient_for(action);
    const Computing computing(*this, action);
    torch::autograd::backward({passage.output}, {gradient});
    pass_on_gradient(action, passage.input);
    passages_.erase({action.stage, action.microbatch});
  }

  void backward_inputs(const Action& action) {
    const Passage& passage = passages_.at({action.stage, action.microbatch});
    const at::Tensor gradient = gradient_for(action);
    const Computing computing(*this, action);
    const Stage& stage = runtime_.stage(action.stage);
    // The graph's leaves are the whole parameters, not the parts that are left where forward gave them back
    // (fsdp_reshard_after_forward = "always").
    stage.sharding->unshard();
    std::vector<at::Tensor> parameters;
    for (const auto& named : stage.model->named_parameters()) {
      parameters.push_back(named.tensor());
    }
    passage.halves->backward_inputs(passage.output, gradient, passage.input, parameters);
    pass_on_gradient(action, passage.input);
  }

  void backward_weights(const Action& action) {
    const Computing computing(*this, action);
    passages_.at({action.stage, action.microbatch}).halves->backward_weights();
    passages_.erase({action.stage, action.microbatch});
  }

  Runtime& runtime_;
  const StageForward& forward_;
  const Boundary& boundary_;
  comm::ProcessGroup& group_;
  bool trains_;
  bool reduces_;
  Stopwatch* stopwatch_;
  std::map<Key, Passage> passages_;
  std::map<Key, Arrival> activations_;  // by the stage that they go into
  std::map<Key, Arrival> gradients_;    // by the stage whose output they are of
  // What is being sent, which holds on to its tensors.
  std::map<Key, SharedWork> sent_activations_;         // by stage and microbatch
  std::map<std::int64_t, SharedWork> sent_gradients_;  // by stage: the last one's
  std::vector<at::Tensor> results_;
};

Runtime::Runtime(const schedule::Schedule& computations, std::vector<Stage> stages,
                 Boundary boundary, const comm::RankContext& context)
    : placement_(computations.placement),
      stages_(std::move(stages)),
      boundary_(std::move(boundary)),
      context_(context) {
  const auto rank = static_cast<std::size_t>(context.group(mesh::MeshDim::kPp).rank());
  actions_ = schedule::lower(computations).ranks.at(rank);
  splits_backward_ = has_halves(actions_);
  for (const Stage& stage : stages_) {
    stage.sharding->set_requires_gradient_sync(false);
    stage.sharding->set_reshard_after_backward(false);
  }
}

const Stage& Runtime::stage(std::int64_t index) const {
  const auto found = std::ranges::find(stages_, index, &Stage::index);
  TITAN_CHECK(found != stages_.end(), "stage ", index, " is another rank's");
  return *found;
}

std::string Runtime::phase_of(const Action& action) const {
  // Who listens knows so many phases by name, and a rank has six for each microbatch of a stage; two more in validation.
  constexpr std::int64_t kMostNames = 800;
  const bool is_named =
      action.microbatch < kMostNames / 8 / static_cast<std::int64_t>(stages_.size());
  const std::string microbatch =
      is_named ? concat("microbatch ", action.microbatch) : "a microbatch";
  const std::string stage = concat("stage ", action.stage);
  const auto peer = [&](std::int64_t other) {
    const auto place = static_cast<std::size_t>(placement_.rank_of(other));
    return concat("rank ", context_.group(mesh::MeshDim::kPp).ranks().at(place));
  };
  switch (action.op) {
    case Op::kForward:
      return concat("forward of ", microbatch, " in ", stage);
    case Op::kBackward:
      return concat("backward of ", microbatch, " in ", stage);
    case Op::kInputGradient:
      return concat("backward of inputs of ", microbatch, " in ", stage);
    case Op::kWeightGradient:
      return concat("backward of weights of ", microbatch, " in ", stage);
    case Op::kUnshard:
      return concat("gathering the parameters of ", stage);
    case Op::kReshard:
      return concat("giving back the parameters of ", stage);
    case Op::kReduceGradients:
      return concat("summing the gradients of ", stage);
    case Op::kSendForward:
      return concat("sending activations of ", stage, " to ", peer(action.stage + 1));
    case Op::kReceiveForward:
      return concat("waiting for activations of ", microbatch, " for ", stage, " from ",
                    peer(action.stage - 1));
    case Op::kSendBackward:
      return concat("sending gradients of ", stage, " to ", peer(action.stage - 1));
    case Op::kReceiveBackward:
      return concat("waiting for gradients of ", microbatch, " for ", stage, " from ",
                    peer(action.stage + 1));
    case Op::kOverlap:
      break;
  }
  throw InternalError("an overlap is no phase");
}

void Runtime::enter_phase(const std::string& phase) const {
  if (context_.watch == nullptr) return;
  context_.watch->enter_phase(purpose_.empty() ? phase : concat(phase, " for ", purpose_), step_);
}

bool Runtime::has_last_stage() const {
  return std::ranges::count(stages_, placement_.stages() - 1, &Stage::index) > 0;
}

std::vector<at::Tensor> Runtime::run(const StageForward& forward, bool reduces, std::int64_t step,
                                     Stopwatch* stopwatch) {
  done_.clear();
  step_ = step;
  purpose_.clear();
  return Run(*this, forward, boundary_, /*trains=*/true, reduces, stopwatch).run(actions_);
}

std::vector<at::Tensor> Runtime::run_forward(const StageForward& forward, std::int64_t microbatches,
                                             const Boundary& boundary, const std::string& purpose) {
  const c10::NoGradGuard no_grad;
  // Each microbatch passes all stages, with nothing kept behind it.
  schedule::Schedule forwards{"forward", placement_, microbatches, {}};
  for (std::int64_t rank = 0; rank < placement_.ranks; ++rank) {
    std::vector<Action>& actions = forwards.ranks.emplace_back();
    for (std::int64_t microbatch = 0; microbatch < microbatches; ++microbatch) {
      for (const std::int64_t stage : placement_.stages_of(rank)) {
        actions.push_back({stage, Op::kForward, microbatch});
      }
    }
  }
  const auto rank = static_cast<std::size_t>(context_.group(mesh::MeshDim::kPp).rank());
  done_.clear();
  purpose_ = purpose;
  return Run(*this, forward, boundary, /*trains=*/false, /*reduces=*/false)
      .run(schedule::lower(forwards).ranks.at(rank));
}

}  // namespace titan::pipeline
