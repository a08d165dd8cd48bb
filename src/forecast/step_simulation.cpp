#include "forecast/step_simulation.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <chrono>

#include "forecast/fake_tensors.h"
#include "forecast/gpu_kernels.h"
#include "forecast/memory_tracker.h"
#include "forecast/traffic.h"
#include "titan/comm/fake_backend.h"
#include "titan/comm/groups.h"
#include "titan/parallel/autocast.h"
#include "titan/parallel/buffer_keeping.h"
#include "titan/parallel/clip_grad_norm.h"
#include "titan/parallel/dtype.h"
#include "titan/protocols/train_spec.h"
#include "titan/tools/logging.h"

namespace titan::forecast {
namespace {

std::int64_t bytes_of(const std::vector<at::Tensor>& tensors) {
  std::int64_t bytes = 0;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined()) bytes += static_cast<std::int64_t>(tensor.nbytes());
  }
  return bytes;
}

/// The parts of a trainer that hold or use memory of the device.
class Simulation {
 public:
  Simulation(const config::JobConfig& config, const comm::RankContext& context)
      : config_(config), context_(context), spec_(protocols::get_train_spec(config.model.name)) {
    const auto args = protocols::get_model_args(config.model.name, config.model.flavor);
    args->update_from_config(config);
    model_.push_back(spec_.build_model(*args, parallel::torch_dtype(config.training.dtype)));
    total_parameters_ = args->size_of(*model_[0], config.training.seq_len).parameters;
    if (config.training.device != config::Device::kCpu) keep_what_gpu_kernels_keep(*model_[0]);
    spec_.parallelize(*model_[0], context, config);
    model_[0]->to_empty(context.device);
    for (const nn::NamedTensor& parameter : model_[0]->named_parameters()) {
      parameters_.push_back(parameter.tensor);
    }
    loss_ = spec_.build_loss(config);
    optimizers_ = spec_.build_optimizers(model_, config);
  }

  std::int64_t total_parameters() const { return total_parameters_; }

  std::int64_t model_bytes() const {
    std::vector<at::Tensor> buffers;
    for (const nn::NamedTensor& buffer : model_[0]->named_buffers()) {
      buffers.push_back(buffer.tensor);
    }
    return bytes_of(parameters_) + bytes_of(buffers);
  }

  std::int64_t gradient_bytes() const {
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& parameter : parameters_) gradients.push_back(parameter.grad());
    return bytes_of(gradients);
  }

  /// Microbatches between the first and the last are alike: one stands for all.
  void forward_backward(std::int64_t microbatches, Traffic& traffic) {
    optimizers_->zero_grad();
    const std::int64_t alike = std::max<std::int64_t>(1, microbatches - 2);
    for (std::int64_t i = 0; i < microbatches; i += i == 1 ? alike : 1) {
      traffic.count_as(i == 1 && i + 1 < microbatches ? alike : 1);
      const bool sums = context_.dims.fsdp_enabled() || i + 1 == microbatches;
      model_[0]->set_requires_gradient_sync(sums);
      loss().backward();
    }
    traffic.count_as(1);
  }

  void optimizer_step() {
    const at::Tensor norm =
        parallel::total_grad_norm(parameters_, &context_.group(mesh::MeshDim::kFsdp));
    parallel::clip_grads_with_norm_(parameters_, config_.training.max_norm, norm);
    optimizers_->step();
  }

 private:
  at::Tensor loss() {
    const config::Training& training = config_.training;
    const auto options = at::TensorOptions().dtype(at::kLong).device(context_.device);
    const at::Tensor tokens = at::empty({training.local_batch_size, training.seq_len}, options);
    const at::Tensor labels = at::empty(tokens.sizes(), options);
    const bool autocast =
        training.mixed_precision_param == config::DType::kBFloat16 && !context_.dims.fsdp_enabled();
    const parallel::AutocastScope scope(context_.device.type(), autocast, at::kBFloat16);
    nn::Tensors inputs = {tokens};
    if (model_[0]->attends_within_documents()) {
      const at::ScalarType compute = parallel::torch_dtype(training.mixed_precision_param);
      for (const at::Tensor& mask : model_[0]->attention_masks(tokens, compute)) {
        inputs.push_back(mask);
      }
    }
    const at::Tensor valid_tokens = at::empty({}, options.dtype(at::kFloat));
    return loss_((*model_[0])(std::move(inputs)).at(0), labels) / valid_tokens;
  }

  const config::JobConfig& config_;
  const comm::RankContext& context_;
  const protocols::TrainSpec& spec_;
  protocols::ModelParts model_;
  std::int64_t total_parameters_ = 0;
  std::vector<at::Tensor> parameters_;
  protocols::LossFunction loss_;
  std::unique_ptr<protocols::Optimizers> optimizers_;
};

}  // namespace

SimulatedStep simulate_step(const config::JobConfig& config, const mesh::ParallelDims& dims,
                            std::int64_t microbatches) {
  const auto tracker = std::make_shared<MemoryTracker>();
  const TrackingScope tracking(tracker, Memory::kPretended);
  FakeTensors fake_tensors(tracker);
  const autograd::DispatchModeScope mode(fake_tensors);
  const bool gpu = config.training.device != config::Device::kCpu;
  const parallel::BufferKeepingScope keeping(!gpu);
  const tools::RankLog quiet(0, /*shows_info=*/false);

  Traffic traffic(/*copies=*/!gpu);
  const auto backend = comm::make_fake_backend(dims.world_size());
  comm::RankContext context;
  context.world_size = dims.world_size();
  context.generator = at::make_generator<at::CPUGeneratorImpl>();
  context.dims = dims;
  context.groups =
      std::make_shared<comm::Groups>(*backend, dims, 0, std::chrono::seconds(1), &traffic);

  config::JobConfig changed = config;
  changed.activation_checkpoint.preserve_rng_state = false;  // nothing is drawn
  Simulation simulation(changed, context);
  SimulatedStep step;
  step.total_parameters = simulation.total_parameters();
  MemoryFigures& memory = step.memory;
  memory.activation_checkpoint = config::to_string(config.activation_checkpoint.mode);
  memory.parameters = simulation.model_bytes();

  // The first step makes the optimizer's state and fills the pool; the second is like all others.
  simulation.forward_backward(microbatches, traffic);
  memory.gradients = simulation.gradient_bytes();
  const std::int64_t before = tracker->live().results;
  simulation.optimizer_step();
  memory.optimizer_state = tracker->live().results - before;
  tracker->reset_peak();
  traffic.reset();
  simulation.forward_backward(microbatches, traffic);
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
  return step;
}

}  // namespace titan::forecast
