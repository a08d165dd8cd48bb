#include "titan/trainer/trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "titan/base/clock.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/parallel/clip_grad_norm.h"
#include "titan/parallel/dtype.h"
#include "titan/profiling/profiler.h"
#include "titan/profiling/range.h"
#include "titan/tools/accelerator.h"
#include "titan/tools/colors.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"
#include "titan/tools/peak_flops.h"
#include "titan/tools/signals.h"
#include "titan/tools/startup_times.h"
#include "trainer/batch_tensors.h"
#include "trainer/determinism.h"
#include "trainer/forward_pass.h"
#include "trainer/hash_log.h"
#include "trainer/job_checkpoints.h"
#include "trainer/nonfinite.h"
#include "trainer/phase.h"
#include "trainer/rank_sums.h"
#include "trainer/samples.h"

namespace titan::trainer {

namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
/// After so many skipped steps in a row, or returns to a checkpoint, nothing will be learned any more.
constexpr std::int64_t kMostInARow = 10;

/// Microbatches of one step on each data-parallel rank.
std::int64_t accumulation_steps(const config::Training& training, std::int64_t data_ranks) {
  const std::int64_t rows = training.local_batch_size * data_ranks;
  const std::int64_t global = training.global_batch_size < 0 ? rows : training.global_batch_size;
  TITAN_CHECK(global > 0 && global % rows == 0, "global batch size was not validated: ", global);
  return global / rows;
}

std::unique_ptr<profiling::Profiler> make_profiler(const config::JobConfig& config,
                                                   const comm::RankContext& context) {
  if (!context.leads_process) return nullptr;
  return std::make_unique<profiling::Profiler>(
      config.profiling,
      profiling::ProfilerSetup{
          base::posix_file_system(), config.job.dump_folder, context.rank, context.world_size,
          context.device,
          context.device.is_cuda() ? tools::find_accelerator().accelerator : nullptr});
}

}  // namespace

Trainer::Trainer(const config::JobConfig& config, TrainerEnvironment environment)
    : config_(config),
      environment_(std::move(environment)),
      spec_(protocols::get_train_spec(config.model.name)),
      sums_(std::make_unique<RankSums>(environment_.context)),
      data_ranks_(environment_.context.dims.size(mesh::MeshDim::kBatch)),
      accumulation_steps_(accumulation_steps(config.training, data_ranks_)),
      // Sharded parameters are gathered in the compute type instead.
      autocast_(config.training.mixed_precision_param == config::DType::kBFloat16 &&
                !environment_.context.dims.fsdp_enabled()),
      profiler_(make_profiler(config, environment_.context)) {
  tools::log_info("Starting job: ", config.job.description);
  if (config.debug.deterministic) use_deterministic_algorithms(config.debug);
  model_args_ = protocols::get_model_args(config.model.name, config.model.flavor);
  for (const std::string& warning : model_args_->update_from_config(config)) {
    tools::log_warning(warning);
  }
  build_data();
  environment_.startup_times.finish("data");
  build_model();
  optimizers_ = spec_.build_optimizers(model_parts_, config_);
  lr_schedulers_ = spec_.build_lr_schedulers(*optimizers_, config_);
  environment_.startup_times.finish("model");
  build_checkpointer();
  build_metrics();
  build_validation();
  if (config.debug.log_hashes) {
    hash_log_ = std::make_unique<HashLog>(base::posix_file_system(), config.job.dump_folder,
                                          environment_.context, step_);
  }
  log_device();
  log_ready();
}

Trainer::~Trainer() = default;

void Trainer::build_data() {
  if (spec_.build_tokenizer) {
    tokenizer_ = spec_.build_tokenizer(config_);
    if (tokenizer_->vocab_size() > model_args_->vocab_size()) {
      throw ConfigError(concat("model.hf_assets_path: the tokenizer has ", tokenizer_->vocab_size(),
                               " tokens, but ", config_.model.name, " ", config_.model.flavor,
                               " embeds only ", model_args_->vocab_size(),
                               ". Choose another flavor or tokenizer."));
    }
    if (!tokenizer_->bos_id()) {
      tools::log_warning("The tokenizer has no BOS token: documents start without one.");
    }
    if (!tokenizer_->eos_id()) {
      tools::log_warning("The tokenizer has no EOS token: documents end without one.");
    }
  }
  dataloader_ = build_dataloader(protocols::DataPurpose::kTraining);
  microbatches_.resize(static_cast<std::size_t>(accumulation_steps_));
}

std::unique_ptr<protocols::DataLoader> Trainer::build_dataloader(protocols::DataPurpose purpose) {
  const comm::RankContext& context = environment_.context;
  return spec_.build_dataloader(purpose,
                                context.dims.coordinate(mesh::MeshDim::kBatch, context.rank),
                                data_ranks_, tokenizer_.get(), config_);
}

void Trainer::build_model() {
  const config::Model& model = config_.model;
  tools::log_info("Building ", model.name, " ", model.flavor, " with ", model_args_->to_json());
  auto whole = spec_.build_model(*model_args_, parallel::torch_dtype(config_.training.dtype));
  model_size_ = model_args_->size_of(*whole, config_.training.seq_len);
  TITAN_CHECK(model_size_.flops_per_token > 0, "a model must report its operations per token");
  const tools::Colors colors = tools::console_colors(config_.metrics.disable_color_printing);
  tools::log_info(colors.blue, "Model ", model.name, " ", model.flavor, " ", colors.red,
                  "size: ", tools::with_thousands(model_size_.parameters), " total parameters",
                  colors.reset);
  spec_.parallelize(*whole, environment_.context, config_);
  // Offloaded parameters, their gradients and the optimizer's state stay in CPU memory.
  const at::Device device = environment_.context.device;
  whole->to_empty(config_.training.enable_cpu_offload ? at::Device(at::kCPU) : device);
  {
    const c10::NoGradGuard no_grad;
    whole->init_weights(environment_.context.generator, device);
  }
  for (const nn::NamedTensor& parameter : whole->named_parameters()) {
    parameters_.push_back(parameter.tensor);
  }
  ForwardPass::Options forward;
  forward.device = environment_.context.device;
  forward.dtype = compute_dtype();
  forward.autocast = autocast_;
  forward.document_mask = config_.data.document_mask;
  forward_pass_ =
      std::make_unique<ForwardPass>(*whole, tokenizer_.get(), spec_.build_loss(config_), forward);
  model_parts_.push_back(std::move(whole));
}

void Trainer::build_checkpointer() {
  checkpointer_ = make_checkpointer({config_, environment_.context, spec_, *model_args_,
                                     model_parts_, *optimizers_, *lr_schedulers_, *dataloader_,
                                     tokenizer_.get(), step_, tokens_seen_});
  if (checkpointer_ == nullptr || config_.checkpoint.create_seed_checkpoint) return;
  const Phase phase(environment_.context, "loading", step_);
  const std::optional<std::int64_t> finished_at = checkpointer_->load();
  step_ = finished_at.value_or(step_);
  saved_step_ = step_;
  environment_.startup_times.finish("checkpoint");
}

void Trainer::build_metrics() {
  protocols::MetricsSetup setup;
  setup.flops_per_token = model_size_.flops_per_token;
  setup.peak_flops = tools::peak_flops(environment_.device_facts.name);
  setup.total_steps = config_.training.steps;
  setup.resumed_at = step_;
  setup.memory = &environment_.memory;
  setup.non_data_parallel_size = environment_.context.dims.non_data_parallel_size();
  setup.rank = environment_.context.rank;
  metrics_ = spec_.build_metrics_processor(setup, config_);
}

void Trainer::build_validation() {
  const config::Validation& validation = config_.validation;
  if (!validation.enable) return;
  if (!spec_.build_validator) {
    throw ConfigError(concat("validation.enable: ", config_.model.name, " has no validator"));
  }
  auto data = build_dataloader(protocols::DataPurpose::kValidation);
  const auto loss_sum = [this](protocols::Batch& batch) { return forward_pass_->loss_sum(batch); };
  const auto sum_over_ranks = [this](std::vector<double> mine) { return sums_->sum(mine); };
  validator_ =
      spec_.build_validator({std::move(data), loss_sum, *metrics_, sum_over_ranks}, config_);
  if (validation.sample_prompts.empty() || tokenizer_ == nullptr) return;
  Samples::Options options;
  options.prompts = validation.sample_prompts;
  options.sampling.max_new_tokens = validation.sample_tokens;
  options.sampling.temperature = validation.sample_temperature;
  options.sampling.context = config_.training.seq_len;
  options.sampling.eos_id = tokenizer_->eos_id();
  options.seed = static_cast<std::uint64_t>(config_.debug.seed.value_or(0));
  options.writes = environment_.context.rank == 0;
  options.first_step = step_;
  components::TextModel text_model;
  text_model.logits = [this](const at::Tensor& tokens) { return forward_pass_->logits(tokens); };
  text_model.cached = model_parts_.front().get();
  text_model.device = environment_.context.device;
  samples_ = std::make_unique<Samples>(base::posix_file_system(), config_.job.dump_folder,
                                       *tokenizer_, std::move(text_model), options);
}

at::ScalarType Trainer::compute_dtype() const {
  const bool sharded = environment_.context.dims.fsdp_enabled();
  return parallel::torch_dtype(sharded ? config_.training.mixed_precision_param
                                       : config_.training.dtype);
}

void Trainer::log_device() const {
  const tools::DeviceFacts& device = environment_.device_facts;
  const protocols::MemoryPeak memory = environment_.memory.peak();
  std::string type = device.type;
  std::transform(type.begin(), type.end(), type.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  tools::log_info(type, " capacity: ", device.name, " with ",
                  tools::fixed(static_cast<double>(device.total_memory_bytes) / kGiB, 2),
                  "GiB memory");
  tools::log_info(type, " memory usage for model: ", tools::fixed(memory.max_reserved_gib, 2),
                  "GiB(", tools::fixed(memory.max_reserved_pct, 2), "%)");
}

void Trainer::log_ready() const {
  const config::Training& training = config_.training;
  tools::log_info("Precision: parameters ", config::to_string(training.dtype), ", compute ",
                  autocast_                          ? "bfloat16 (autocast)"
                  : compute_dtype() == at::kBFloat16 ? "bfloat16"
                                                     : "float32");
  tools::log_info(
      "Trainer is initialized with local batch size ", training.local_batch_size,
      ", global batch size ", training.local_batch_size * data_ranks_ * accumulation_steps_,
      ", gradient accumulation steps ", accumulation_steps_, ", sequence length ", training.seq_len,
      ", total steps ", training.steps, " (warmup ", config_.lr_scheduler.warmup_steps, ")");
}

void Trainer::train(const tools::StopSignals& stop_signals) try {
  if (hash_log_) hash_log_->write_weights(step_, model_parts_);
  tools::log_info("Training starts at step ", step_ + 1);
  if (samples_) samples_->write(step_);
  if (profiler_) profiler_->start(step_);
  stop_ = sums_->any(stop_signals.received().has_value());
  for (bool first = true; step_ < config_.training.steps && !stop_; first = false) {
    ++step_;
    if (profiler_) profiler_->begin_step();
    const StepOutcome outcome = train_step(stop_signals);
    if (outcome == StepOutcome::kNoData) {
      tools::log_warning("Ran out of data; last step was canceled.");
      --step_;
      break;
    }
    if (first) after_first_step();
    if (outcome == StepOutcome::kDone) after_step(stop_signals);
    if (profiler_) profiler_->end_step();
  }
  if (profiler_) profiler_->finish();
  if (hash_log_) hash_log_->write_weights(step_, model_parts_);
  metrics_->close();
  save_at_end();
  if (stop_) {
    tools::log_warning("Stopped by a signal after step ", step_);
  } else {
    tools::log_info("Training completed");
  }
} catch (const c10::OutOfMemoryError&) {
  if (profiler_) profiler_->out_of_memory();
  throw;
}

void Trainer::after_step(const tools::StopSignals& stop_signals) {
  if (checkpointer_ && step_ < config_.training.steps && checkpointer_->is_due(step_)) {
    const Phase phase(environment_.context, "checkpoint", step_);
    checkpointer_->save(step_, components::SaveReason::kInterval);
    saved_step_ = step_;
    rollbacks_ = 0;
  }
  if (validator_ && validator_->should_validate(step_)) validate(stop_signals);
}

void Trainer::save_at_end() {
  if (checkpointer_ == nullptr) return;
  const Phase phase(environment_.context, "checkpoint", step_);
  if (step_ != saved_step_) {
    const bool complete = step_ == config_.training.steps;
    checkpointer_->save(
        step_, complete ? components::SaveReason::kLast : components::SaveReason::kCutShort);
  }
  checkpointer_->finish();
}

void Trainer::create_seed_checkpoint() {
  TITAN_CHECK(checkpointer_ != nullptr, "a seed checkpoint is a checkpoint");
  checkpointer_->save(0, components::SaveReason::kLast);
  checkpointer_->finish();
  tools::log_info("Created seed checkpoint");
}

void Trainer::after_first_step() {
  environment_.startup_times.finish("first step");
  tools::log_info(environment_.startup_times.line());
  if (environment_.context.world_size == 1) return;
  const std::int64_t seconds = config_.comm.train_timeout_seconds;
  tools::log_info("Synchronizing and adjusting timeout for all ProcessGroups to ", seconds, "s");
  environment_.context.groups->world().barrier();
  environment_.context.groups->set_timeout(std::chrono::seconds(seconds));
}

Trainer::StepOutcome Trainer::train_step(const tools::StopSignals& stop_signals) {
  optimizers_->zero_grad();
  const double lr = lr_schedulers_->last_lr();
  const bool fetched = fetch_microbatches();
  const auto local_tokens = static_cast<double>(fetched ? count_valid_tokens(microbatches_) : 0);
  const std::vector<double> start = sums_->sum({local_tokens, fetched ? 0.0 : 1.0});
  if (start[1] > 0) return StepOutcome::kNoData;
  // A step of prompts only has the loss 0, not 0 / 0.
  const double tokens = std::max(start[0], 1.0);
  const at::Tensor valid_tokens = at::scalar_tensor(
      tokens, at::TensorOptions().dtype(at::kFloat).device(environment_.context.device));
  if (start[0] == 0) {
    tools::warn_once(
        "A step had prompts only and no token to train on: its loss is reported as 0. Longer rows "
        "(training.seq_len) or more of them (training.global_batch_size) help.");
  }

  std::vector<at::Tensor> losses;
  for (std::size_t i = 0; i < microbatches_.size(); ++i) {
    // Shards are summed with every microbatch, because full gradients would not fit; replicas once.
    const bool sums = environment_.context.dims.fsdp_enabled() || i + 1 == microbatches_.size();
    for (const auto& part : model_parts_) part->set_requires_gradient_sync(sums);
    losses.push_back(forward_backward(i, valid_tokens));
  }
  const at::Tensor norm =
      parallel::total_grad_norm(parameters_, &environment_.context.group(mesh::MeshDim::kFsdp));

  // One transfer from the device brings everything the host wants to know.
  const at::Tensor figures =
      at::stack({at::sum(at::stack(losses)), norm}).to(at::kCPU, at::kDouble);
  const double local_loss = figures[0].item<double>();
  const std::vector<double> end = sums_->sum({local_loss, stop_signals.received() ? 1.0 : 0.0});
  stop_ = end[1] > 0;
  const double loss = static_cast<float>(end[0]);  // fp32, as the parts of each rank
  protocols::StepMetrics metrics = {
      step_, loss, loss, figures[1].item<double>(), lr, tokens_seen_ * data_ranks_};
  const bool logs = metrics_->should_log(step_);
  if (logs) {
    metrics.max_loss = sums_->max(local_tokens > 0 ? local_loss * (tokens / local_tokens) : 0);
  }
  const bool finite = is_finite(metrics);
  if (!finite && take_back(metrics)) return StepOutcome::kTakenBack;
  if (finite) {
    const Phase phase(environment_.context, "optimizer", step_);
    parallel::clip_grads_with_norm_(parameters_, config_.training.max_norm, norm);
    if (checkpointer_) checkpointer_->before_change();
    optimizers_->step();
  }
  lr_schedulers_->step();
  if (logs) metrics_->log(metrics);
  return StepOutcome::kDone;
}

bool Trainer::fetch_microbatches() {
  const Phase phase(environment_.context, "data", step_);
  for (protocols::Batch& batch : microbatches_) {
    const double start = base::monotonic_seconds();
    if (!dataloader_->next(batch)) return false;
    const auto tokens = static_cast<std::int64_t>(batch.labels.size());
    tokens_seen_ += tokens;
    metrics_->add_batch(tokens, base::monotonic_seconds() - start);
  }
  if (hash_log_ && step_ == 1) hash_log_->write_batches(step_, microbatches_);
  return true;
}

at::Tensor Trainer::forward_backward(std::size_t microbatch, const at::Tensor& valid_tokens) {
  at::Tensor loss;
  {
    const Phase phase(environment_.context, "forward", step_);
    loss = forward_pass_->loss_sum(microbatches_[microbatch]) / valid_tokens;
  }
  const Phase phase(environment_.context, "backward", step_);
  loss.backward();
  return loss.detach();
}

void Trainer::validate(const tools::StopSignals& stop_signals) {
  const Phase phase(environment_.context, "validation", step_);
  validator_->validate(step_, [&] { return stop_signals.received().has_value(); });
  if (!samples_ || sums_->any(stop_signals.received().has_value())) return;
  samples_->write(step_);
}

bool Trainer::is_finite(const protocols::StepMetrics& metrics) {
  const bool finite = std::isfinite(metrics.loss) && std::isfinite(metrics.grad_norm);
  if (finite) skipped_in_a_row_ = 0;
  return finite;
}

/// What `debug.on_nan` says. True when the job is back at an earlier step.
bool Trainer::take_back(const protocols::StepMetrics& metrics) {
  const std::string report = describe_nonfinite(metrics, model_parts_);
  const auto give_up = [&](const std::string& why) {
    metrics_->log(metrics);
    metrics_->close();
    throw RunError(report + why);
  };
  switch (config_.debug.on_nan) {
    case config::OnNan::kStop:
      give_up(
          " Lower optimizer.lr, look at the data of this step, or skip such steps "
          "(debug.on_nan = \"skip\") or go back to a checkpoint (\"rollback\").");
      break;
    case config::OnNan::kSkip:
      if (++skipped_in_a_row_ > kMostInARow) {
        give_up(concat(" That was the ", skipped_in_a_row_, "th such step in a row."));
      }
      tools::log_warning(report, " This step's update is skipped (debug.on_nan = \"skip\").");
      return false;
    case config::OnNan::kRollback:
      if (++rollbacks_ > kMostInARow) {
        give_up(concat(" The job has gone back ", rollbacks_ - 1,
                       " times without reaching another checkpoint."));
      }
      tools::log_warning(report);
      checkpointer_->roll_back(step_);
      saved_step_ = step_;
      return true;
  }
  throw InternalError("unknown debug.on_nan");
}

}  // namespace titan::trainer
