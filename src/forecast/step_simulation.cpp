#include "forecast/step_simulation.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>

#include "forecast/fake_tensors.h"
#include "forecast/memory_tracker.h"
#include "forecast/plan_trace.h"
#include "forecast/repeated_actions.h"
#include "forecast/traffic.h"
#include "titan/comm/fake_backend.h"
#include "titan/comm/groups.h"
#include "titan/nn/module.h"
#include "titan/nn/rms_norm.h"
#include "titan/parallel/clip_grad_norm.h"
#include "titan/pipeline/runtime.h"
#include "titan/protocols/train_spec.h"
#include "titan/schedule/simulation.h"
#include "titan/step/build_model_parts.h"
#include "titan/step/build_step_runner.h"
#include "titan/step/early_step.h"
#include "titan/step/pipelined.h"
#include "titan/tools/logging.h"

namespace titan::forecast {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// at::rms_norm as CUDA's kernel does it, without its numbers.
class FusedRmsNorm : public torch::autograd::Function<FusedRmsNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight) {
    std::vector<std::int64_t> rows = input.sizes().vec();
    rows.back() = 1;
    const at::Tensor reciprocal = at::empty(rows, input.options().dtype(at::kFloat));
    context->save_for_backward({input, weight, reciprocal});
    return at::empty_like(input);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    return {at::empty_like(saved[0]), at::empty_like(saved[1])};
  }
};

/// Lets the modules of a simulated model keep for backward what a GPU's kernels keep, where that is
/// not what the CPU's keep: RMS norms save their input and one number per row.
void keep_what_gpu_kernels_keep(nn::Module& model) {
  for (const auto& [name, module] : model.named_modules()) {
    auto* norm = dynamic_cast<nn::RMSNorm*>(module);
    if (norm == nullptr) continue;
    norm->wrap_forward([norm](const nn::Module::Forward&, const nn::Inputs& inputs) {
      const at::Tensor& weight = norm->weight().tensor;
      if (inputs.tensors.size() == 1) return nn::Tensors{FusedRmsNorm::apply(inputs.at(0), weight)};
      const at::Tensor& residual = inputs.at(1);
      const at::Tensor sum = residual.defined() ? inputs.at(0) + residual : inputs.at(0);
      return nn::Tensors{FusedRmsNorm::apply(sum, weight), sum};
    });
  }
}

std::int64_t bytes_of(const std::vector<at::Tensor>& tensors) {
  std::int64_t bytes = 0;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined()) bytes += static_cast<std::int64_t>(tensor.nbytes());
  }
  return bytes;
}

/// The job's config as the simulation runs it.
config::JobConfig simulated(const config::JobConfig& config, const protocols::ModelParts& parts) {
  config::JobConfig result = config;
  // Its batches say where documents begin; no tokenizer is read.
  result.data.document_mask = parts.front().model->attends_within_documents();
  return result;
}

protocols::Batch batch_of(const config::Training& training) {
  const auto tokens = static_cast<std::size_t>(training.local_batch_size * training.seq_len);
  return {training.local_batch_size, training.seq_len, std::vector<std::int64_t>(tokens),
          std::vector<std::int64_t>(tokens), std::vector<std::uint8_t>(tokens)};
}

step::RankModel build(const config::JobConfig& config, const comm::RankContext& context) {
  const auto args = protocols::get_model_args(config.model.name, config.model.flavor);
  args->update_from_config(config);
  const bool gpu = context.kernels() != at::kCPU;
  step::RankModel model = step::build_model_parts(protocols::get_train_spec(config.model.name),
                                                  *args, context, config, [gpu](nn::Module& whole) {
                                                    if (gpu) keep_what_gpu_kernels_keep(whole);
                                                  });
  for (const protocols::ModelPart& part : model.parts) part.model->to_empty(context.device);
  return model;
}

/// The parts of a trainer that hold or use memory of the device.
class Simulation {
 public:
  Simulation(const config::JobConfig& config, const comm::RankContext& context, Traffic& traffic,
             PlanTrace& plan)
      : context_(context),
        traffic_(traffic),
        plan_(plan),
        model_(build(config, context)),
        config_(simulated(config, model_.parts)),
        parameters_(protocols::parameters_of(model_.parts)) {
    const protocols::TrainSpec& spec = protocols::get_train_spec(config.model.name);
    protocols::LossFunction loss = [this, loss = spec.build_loss(context_, config_)](
                                       const at::Tensor& prediction, const at::Tensor& labels) {
      const PlanTrace::Scope scope(plan_, "loss");
      return loss(prediction, labels);
    };
    runner_ =
        step::build_step_runner(spec, {model_.parts, context_, config_, std::move(loss), nullptr,
                                       [this](std::int64_t number) { begin_microbatch(number); }});
    optimizers_ = spec.build_optimizers(model_.parts, context_, config_);
    for (const auto& converter : model_.converters) {
      optimizers_->add_step_post_hook(
          [this, &converter = *converter] { converter.after_optimizer_step(model_.parts); });
    }
    if (config.optimizer.early_step_in_backward) {
      early_step_ = std::make_unique<step::EarlyStep>(model_.parts, *optimizers_);
    }
  }

  std::int64_t total_parameters() const { return model_.size.parameters; }

  std::vector<std::int64_t> stages() const {
    std::vector<std::int64_t> result;
    for (const protocols::ModelPart& part : model_.parts) result.push_back(part.stage.index);
    return result;
  }

  /// 0 without a pipeline.
  std::int64_t in_flight() const {
    const auto* pipelined = dynamic_cast<const step::Pipelined*>(runner_.get());
    return pipelined == nullptr ? 0 : schedule::peak_in_flight(pipelined->runtime().actions());
  }

  std::int64_t model_bytes() const {
    std::vector<at::Tensor> tensors;
    for (const nn::Parameter* parameter : parameters_) tensors.push_back(parameter->tensor);
    for (const protocols::ModelPart& part : model_.parts) {
      for (const nn::NamedTensor& buffer : part.model->named_buffers()) {
        tensors.push_back(buffer.tensor);
      }
    }
    return bytes_of(tensors);
  }

  std::int64_t gradient_bytes() const {
    std::vector<at::Tensor> gradients;
    for (const nn::Parameter* parameter : parameters_) {
      gradients.push_back(parameter->tensor.grad());
    }
    return bytes_of(gradients);
  }

  /// Microbatches between the first and the last are alike: one stands for all. `steps`: parameters may be
  /// updated in backward.
  void forward_backward(std::int64_t microbatches, bool steps) {
    steps_early_ = steps && early_step_ != nullptr;
    optimizers_->zero_grad();
    alike_ = std::max<std::int64_t>(1, microbatches - 2);
    last_ = std::min<std::int64_t>(microbatches, 3) - 1;
    std::vector<protocols::Batch> batches(static_cast<std::size_t>(last_ + 1),
                                          batch_of(config_.training));
    const at::Tensor valid_tokens =
        at::empty({}, at::TensorOptions().dtype(at::kFloat).device(context_.device));
    runner_->forward_backward(batches, valid_tokens, /*step=*/1);
    if (repeated_) repeated_->end_batch();
    tokens_ = at::Tensor();
    traffic_.count_as(1);
  }

  /// Of a pipeline only what does not repeat itself is run.
  void book_repeated_actions(MemoryTracker& memory) {
    auto* pipelined = dynamic_cast<step::Pipelined*>(runner_.get());
    if (pipelined == nullptr) return;
    const std::vector<schedule::Action>& actions = pipelined->runtime().actions();
    if (context_.dims.fsdp_enabled() && !repeat_when_sharded(actions)) return;
    repeated_.emplace(actions, memory, traffic_);
    pipelined->runtime().perform_by(
        [this](const schedule::Action& action, const std::function<void()>& really) {
          repeated_->perform(action, really);
        });
  }

  /// Has the optimizer make its state, as a step does.
  void make_optimizer_state() {
    for (const nn::Parameter* parameter : parameters_) {
      if (!parameter->tensor.requires_grad()) continue;
      parameter->tensor.mutable_grad() = at::empty_like(parameter->tensor);
    }
    optimizers_->step();
    optimizers_->zero_grad();
  }

  void optimizer_step() {
    const PlanTrace::Scope scope(plan_, "gradient norm");
    if (early_step_ == nullptr) {
      const at::Tensor norm = parallel::total_grad_norm(parameters_, context_);
      parallel::clip_grads_with_norm_(parameters_, config_.training.max_norm, norm);
    }
    optimizers_->step();
  }

  /// A job that steps in backward never has all gradients, as the first step here leaves them.
  void forget_gradients() {
    if (early_step_) optimizers_->zero_grad();
  }

 private:
  /// Whether one microbatch does as another. Where every part gives its parameters back behind its forward, it depends on what was
  /// gathered before; where backward has halves, the second's full gradients wait for the next first half, whichever that is.
  bool repeat_when_sharded(const std::vector<schedule::Action>& actions) const {
    const bool gathers_again =
        config_.parallelism.fsdp_reshard_after_forward == config::ReshardAfterForward::kAlways;
    const bool has_halves = std::ranges::any_of(actions, [](const schedule::Action& action) {
      return std::ranges::any_of(schedule::parts_of(action), [](const schedule::Action& part) {
        return part.op == schedule::Op::kWeightGradient;
      });
    });
    return !gathers_again && !has_halves;
  }

  void begin_microbatch(std::int64_t number) {
    const std::int64_t alike = number == 1 ? alike_ : 1;
    traffic_.count_as(alike);
    if (repeated_) repeated_->begin_batch(alike);
    if (early_step_) early_step_->set_last_microbatch(steps_early_ && number == last_);
    if (context_.kernels() == at::kCPU) return;  // where a batch is read where it lies
    const config::Training& training = config_.training;
    tokens_ = at::empty({2, training.local_batch_size, training.seq_len},
                        at::TensorOptions().dtype(at::kLong).device(context_.device));
  }

  const comm::RankContext& context_;
  Traffic& traffic_;
  PlanTrace& plan_;
  step::RankModel model_;
  config::JobConfig config_;
  parallel::Parameters parameters_;
  std::unique_ptr<protocols::StepRunner> runner_;
  std::unique_ptr<protocols::Optimizers> optimizers_;
  std::unique_ptr<step::EarlyStep> early_step_;
  bool steps_early_ = false;
  std::int64_t alike_ = 1;
  std::int64_t last_ = 0;
  std::optional<RepeatedActions> repeated_;
  at::Tensor tokens_;  // a microbatch and its labels on a device
};

}  // namespace

SimulatedStep simulate_step(const config::JobConfig& config, const mesh::ParallelDims& dims,
                            std::int64_t microbatches, std::int64_t rank, Repetition repetition) {
  const auto tracker = std::make_shared<MemoryTracker>();
  const TrackingScope tracking(tracker, Memory::kPretended);
  FakeTensors fake_tensors(tracker);
  const autograd::DispatchModeScope mode(fake_tensors);
  const bool gpu = config.training.device != config::Device::kCpu;
  const tools::RankLog quiet(rank, /*shows_info=*/false);

  PlanTrace plan;
  Traffic traffic(/*copies=*/!gpu, &plan);
  const auto backend = comm::make_fake_backend(dims.world_size(), rank);
  comm::RankContext context;
  context.rank = rank;
  context.world_size = dims.world_size();
  context.generator = at::make_generator<at::CPUGeneratorImpl>();
  context.dims = dims;
  context.groups =
      std::make_shared<comm::Groups>(*backend, dims, rank, std::chrono::seconds(1), &traffic);
  context.pretended = gpu ? at::kCUDA : at::kCPU;
  context.plan_observer = &plan;

  config::JobConfig changed = config;
  changed.activation_checkpoint.preserve_rng_state = false;  // nothing is drawn
  changed.activation_checkpoint.visualize_memory_budget_pareto = false;
  changed.activation_checkpoint.debug = false;
  changed.profiling.enable_pipeline_timeline = false;
  Simulation simulation(changed, context, traffic, plan);
  if (repetition == Repetition::kBooked) simulation.book_repeated_actions(*tracker);
  SimulatedStep step;
  step.total_parameters = simulation.total_parameters();
  step.stages = simulation.stages();
  step.in_flight = simulation.in_flight();
  MemoryFigures& memory = step.memory;
  memory.activation_checkpoint = config::to_string(config.activation_checkpoint.mode);
  memory.parameters = simulation.model_bytes();

  // The first step makes what stays: the optimizer's state and, on a CPU, a pool of buffers. All others are alike.
  if (gpu) {
    const std::int64_t before = tracker->live().results;
    simulation.make_optimizer_state();
    memory.optimizer_state = tracker->live().results - before;
  } else {
    simulation.forward_backward(microbatches, /*steps=*/false);
    const std::int64_t before = tracker->live().results;
    simulation.optimizer_step();
    memory.optimizer_state = tracker->live().results - before;
    simulation.forget_gradients();
  }
  tracker->reset_peak();
  traffic.reset();
  simulation.forward_backward(microbatches, /*steps=*/true);
  memory.gradients = simulation.gradient_bytes();  // what early steps have left of them
  simulation.optimizer_step();

  const LiveBytes peak = tracker->peak();
  memory.peak = peak.total();
  memory.communication_buffers = peak.buffers;
  memory.activations = peak.results - memory.parameters - memory.gradients - memory.optimizer_state;
  if (gpu && config.training.enable_cpu_offload) {
    memory.host = memory.parameters + memory.gradients + memory.optimizer_state;
    memory.peak -= memory.host;
  }
  step.communication = traffic.total();
  step.tensor_plan = plan.figures();
  return step;
}

}  // namespace titan::forecast
