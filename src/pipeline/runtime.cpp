#include "titan/pipeline/runtime.h"

#include <ATen/record_function.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "pipeline/phases.h"
#include "pipeline/stage_traffic.h"
#include "pipeline/turns.h"
#include "titan/autograd/split_backward.h"
#include "titan/base/errors.h"
#include "titan/schedule/lowering.h"

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
        traffic_(runtime.placement_, boundary, runtime.context_, *runtime.phases_),
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
        traffic_.exchange(here);
      } else if (is_alone || !overlaps(here.front())) {
        for (const Action& action : schedule::parts_of(here.front())) {
          is_alone ? runtime_.performer_(action, [&] { perform(action); }) : perform(action);
        }
      } else {
        overlap(here.front());
      }
      runtime_.done_.insert(runtime_.done_.end(), here.begin(), here.end());
      i += here.size();
    }
    traffic_.finish_sends();
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

  /// While it lives, a computation goes on, whose inputs are there: for a stopwatch, and by name in a profiler's trace.
  class Computing {
   public:
    Computing(const Run& run, const Action& action, Stopwatch* stopwatch)
        : stopwatch_(stopwatch), range_(at::RecordScope::USER_SCOPE) {
      if (stopwatch_ != nullptr) stopwatch_->begin(action);
      if (range_.isActive()) range_.before(run.runtime_.phases_->name_of(action));
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
    if (schedule::is_message(action.op)) return traffic_.exchange({&action, 1});
    runtime_.phases_->enter(action);
    parallel::Sharding& sharding = *runtime_.stage(action.stage).sharding;
    switch (action.op) {
      case Op::kForward:
      case Op::kBackward:
      case Op::kInputGradient: {
        const at::Tensor arrived = take_input(action, action);
        const Computing computing(*this, action, stopwatch_);
        return compute(action, arrived);
      }
      case Op::kWeightGradient: {
        const Computing computing(*this, action, stopwatch_);
        return backward_weights(action);
      }
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

  bool overlaps(const Action& action) const {
    return action.op == Op::kOverlap && runtime_.turns_ != nullptr;
  }

  /// Both at once, in turns, which change where one waits for rows. What they begin with is there before.
  void overlap(const Action& both) {
    runtime_.phases_->enter(both);
    const Action& first = both.parts.at(0);
    const Action& second = both.parts.at(1);
    const at::Tensor first_input = take_input(first, both);
    const at::Tensor second_input = take_input(second, both);
    const auto in_turn = [&](const Action& action, const at::Tensor& input) {
      return [&] {
        const Computing computing(*this, action, nullptr);
        compute(action, input);
      };
    };
    const Computing computing(*this, both, stopwatch_);
    const TurnsAtExchanges turns(runtime_);
    runtime_.turns_->run(in_turn(first, first_input), in_turn(second, second_input));
  }

  /// While it lives, who waits for rows passes the turn.
  class TurnsAtExchanges {
   public:
    explicit TurnsAtExchanges(Runtime& runtime) : group_(*runtime.exchanges_) {
      group_.do_meanwhile([&turns = *runtime.turns_] { turns.pass(); });
    }
    ~TurnsAtExchanges() { group_.do_meanwhile(nullptr); }
    TurnsAtExchanges(const TurnsAtExchanges&) = delete;
    TurnsAtExchanges& operator=(const TurnsAtExchanges&) = delete;

   private:
    comm::ProcessGroup& group_;
  };

  /// What a computation begins with; waits for it.
  at::Tensor take_input(const Action& action, const Action& during) {
    return action.op == Op::kForward ? traffic_.take_activations(action, during)
                                     : traffic_.take_gradient(action, during);
  }

  void compute(const Action& action, const at::Tensor& arrived) {
    if (action.op == Op::kForward) return forward(action, arrived);
    return action.op == Op::kBackward ? backward(action, arrived)
                                      : backward_inputs(action, arrived);
  }

  void forward(const Action& action, const at::Tensor& input) {
    const std::int64_t microbatch = action.microbatch;
    const Stage& stage = runtime_.stage(action.stage);
    Passage passage;
    passage.input = input;
    if (input.defined() && trains_) passage.input.requires_grad_();
    if (trains_ && runtime_.splits_backward_) {
      passage.halves = std::make_unique<autograd::SplitBackward>();
      const autograd::SplitBackward::ForwardScope scope(*passage.halves);
      passage.output = forward_(stage, microbatch, passage.input);
    } else {
      passage.output = forward_(stage, microbatch, passage.input);
    }
    if (action.stage + 1 == runtime_.placement_.stages()) {
      results_.push_back(passage.output.detach());
    } else {
      traffic_.give_activations(action, passage.output);
    }
    if (trains_) passages_[{action.stage, microbatch}] = std::move(passage);
  }

  void backward(const Action& action, const at::Tensor& gradient) {
    const Passage& passage = passages_.at({action.stage, action.microbatch});
    torch::autograd::backward({passage.output}, {gradient});
    traffic_.give_gradient(action, passage.input);
    passages_.erase({action.stage, action.microbatch});
  }

  void backward_inputs(const Action& action, const at::Tensor& gradient) {
    const Passage& passage = passages_.at({action.stage, action.microbatch});
    const Stage& stage = runtime_.stage(action.stage);
    // The graph's leaves are the whole parameters, not the parts that are left where forward gave them back
    // (fsdp_reshard_after_forward = "always").
    stage.sharding->unshard();
    std::vector<at::Tensor> parameters;
    for (const auto& named : stage.model->named_parameters()) {
      parameters.push_back(named.tensor());
    }
    passage.halves->backward_inputs(passage.output, gradient, passage.input, parameters);
    traffic_.give_gradient(action, passage.input);
  }

  void backward_weights(const Action& action) {
    passages_.at({action.stage, action.microbatch}).halves->backward_weights();
    passages_.erase({action.stage, action.microbatch});
  }

  Runtime& runtime_;
  const StageForward& forward_;
  StageTraffic traffic_;
  bool trains_;
  bool reduces_;
  Stopwatch* stopwatch_;
  std::map<Key, Passage> passages_;
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
  phases_ =
      std::make_unique<Phases>(placement_, static_cast<std::int64_t>(stages_.size()), context);
  for (const Stage& stage : stages_) {
    stage.sharding->set_requires_gradient_sync(false);
    stage.sharding->set_reshard_after_backward(false);
  }
}

Runtime::~Runtime() = default;

void Runtime::overlap_exchanges_of(comm::ProcessGroup& group) {
  exchanges_ = &group;
  turns_ = std::make_unique<Turns>(context_.device);
}

const Stage& Runtime::stage(std::int64_t index) const {
  const auto found = std::ranges::find(stages_, index, &Stage::index);
  TITAN_CHECK(found != stages_.end(), "stage ", index, " is another rank's");
  return *found;
}

bool Runtime::has_last_stage() const {
  return std::ranges::count(stages_, placement_.stages() - 1, &Stage::index) > 0;
}

std::vector<at::Tensor> Runtime::run(const StageForward& forward, bool reduces, std::int64_t step,
                                     Stopwatch* stopwatch) {
  done_.clear();
  phases_->begin(step, "");
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
  phases_->begin(purpose);
  return Run(*this, forward, boundary, /*trains=*/false, /*reduces=*/false)
      .run(schedule::lower(forwards).ranks.at(rank));
}

}  // namespace titan::pipeline
