#include "titan/trainer/trainer.h"

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>

#include "titan/base/clock.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/checkpointer.h"
#include "titan/components/expert_balance/expert_balance.h"
#include "titan/parallel/clip_grad_norm.h"
#include "titan/parallel/context_parallel.h"
#include "titan/profiling/profiler.h"
#include "titan/protocols/scales_gradients.h"
#include "titan/step/batch_tensors.h"
#include "titan/step/early_step.h"
#include "titan/step/phase.h"
#include "titan/tools/accelerator.h"
#include "titan/tools/logging.h"
#include "titan/tools/signals.h"
#include "titan/tools/startup_times.h"
#include "trainer/determinism.h"
#include "trainer/hash_log.h"
#include "trainer/nonfinite.h"
#include "trainer/rank_sums.h"
#include "trainer/samples.h"
#include "trainer/validation_position.h"

namespace titan::trainer {

using protocols::RankFigures;
using step::Phase;

namespace {

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
      accumulation_steps_(config.training.accumulation_steps(data_ranks_)),
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
  build_optimizers();
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

void Trainer::train(const tools::StopSignals& stop_signals) try {
  if (hash_log_) hash_log_->write_weights(step_, model_.parts);
  if (step_ >= config_.training.steps) return end_without_training();
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
  save_at_end();  // before all that could fail
  if (profiler_) profiler_->finish();
  if (hash_log_) hash_log_->write_weights(step_, model_.parts);
  metrics_->close();
  if (stop_) {
    tools::log_warning("Stopped by a signal after step ", step_);
  } else {
    tools::log_info("Training completed");
  }
} catch (const c10::OutOfMemoryError&) {
  if (profiler_) profiler_->out_of_memory();
  throw;
}

void Trainer::end_without_training() {
  metrics_->close();
  if (checkpointer_) checkpointer_->export_loaded(step_);
  tools::log_warning("Nothing was to be trained: the checkpoint is of step ", step_,
                     ", and training.steps is ", config_.training.steps, ".");
}

/// From tokens to new weights: every arrow of a step is a call of this function.
Trainer::StepOutcome Trainer::train_step(const tools::StopSignals& stop_signals) {
  optimizers_->zero_grad();
  if (expert_balance_) expert_balance_->begin_step();
  const bool fetched = fetch_microbatches();
  RankFigures own;
  own.tokens = fetched ? static_cast<double>(step::count_valid_tokens(microbatches_)) : 0;
  own.any = !fetched;
  const RankFigures all = sums_->sum(own);
  if (all.any) return StepOutcome::kNoData;

  if (early_step_ && checkpointer_) checkpointer_->before_change();
  const at::Tensor loss =
      runner_->forward_backward(microbatches_, divisor_of_loss(all.tokens), step_);
  const at::Tensor norm = gradient_norm();

  protocols::StepMetrics metrics = metrics_of(loss, norm, stop_signals);
  const bool logs = metrics_->should_log(step_);
  // Of a step that is not logged it is heard of only when the job ends with it.
  metrics.max_loss = logs ? max_loss(metrics.max_loss, all.tokens) : metrics.loss;
  switch (nonfinite_->judge(metrics)) {
    case NonfinitePolicy::Verdict::kGoBack:
      go_back();
      return StepOutcome::kTakenBack;
    case NonfinitePolicy::Verdict::kUpdate:
      update(norm);
      break;
    case NonfinitePolicy::Verdict::kSkipUpdate:
      break;
  }
  lr_schedulers_->step();
  if (logs && expert_balance_) metrics.expert_loads = expert_balance_->loads();
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

at::Tensor Trainer::divisor_of_loss(double tokens) const {
  if (tokens == 0) {
    tools::warn_once(
        "A step had prompts only and no token to train on: its loss is reported as 0. Longer rows "
        "(training.seq_len) or more of them (training.global_batch_size) help.");
  }
  return at::scalar_tensor(
      std::max(tokens, 1.0),
      at::TensorOptions().dtype(at::kFloat).device(environment_.context.device));
}

/// What all ranks know of the step; `max_loss` is this rank's own loss yet.
protocols::StepMetrics Trainer::metrics_of(const at::Tensor& loss, const at::Tensor& norm,
                                           const tools::StopSignals& stop_signals) {
  const StepFigures figures = sums_->sum_of_step(loss, norm, stop_signals.received().has_value());
  stop_ = figures.any;
  protocols::StepMetrics metrics;
  metrics.step = step_;
  metrics.loss = static_cast<float>(figures.loss);  // fp32, as the parts of each rank
  metrics.max_loss = figures.own_loss;
  metrics.grad_norm = figures.norm;
  metrics.lr = lr_schedulers_->last_lr();
  metrics.n_tokens_seen = tokens_seen_ * data_ranks_;
  return metrics;
}

/// The largest mean loss of a rank's own tokens: its part of its rows.
double Trainer::max_loss(double own_loss, double tokens) const {
  const auto own_tokens = static_cast<double>(step::count_valid_tokens(
      microbatches_, parallel::text_cut(environment_.context, config_.parallelism)));
  return sums_->max(own_tokens > 0 ? own_loss * (std::max(tokens, 1.0) / own_tokens) : 0);
}

/// 0 where the gradients are gone already.
at::Tensor Trainer::gradient_norm() const {
  if (early_step_) return at::zeros({}, environment_.context.device);
  return parallel::total_grad_norm(parameters_, environment_.context);
}

/// By the optimizer as it reads gradients, where it can.
void Trainer::clip(const at::Tensor& norm) {
  const double max_norm = config_.training.max_norm;
  auto* const scales = dynamic_cast<protocols::ScalesGradients*>(optimizers_.get());
  if (scales == nullptr || !scales->scale_next_step(parallel::clip_factor(max_norm, norm))) {
    parallel::clip_grads_with_norm_(parameters_, max_norm, norm);
  }
}

void Trainer::update(const at::Tensor& norm) {
  const Phase phase(environment_.context, "optimizer", step_);
  if (!early_step_) clip(norm);
  if (checkpointer_) checkpointer_->before_change();
  optimizers_->step();
}

void Trainer::go_back() {
  checkpointer_->roll_back(step_);
  for (const auto& converter : model_.converters) converter->after_optimizer_step(model_.parts);
  saved_step_ = step_;
}

void Trainer::after_step(const tools::StopSignals& stop_signals) {
  const bool complete = step_ == config_.training.steps;
  if (checkpointer_ && (complete || checkpointer_->is_due(step_))) {
    save(complete ? components::SaveReason::kLast : components::SaveReason::kInterval);
    nonfinite_->checkpoint_made();
  }
  if (validator_ && validator_->should_validate(step_)) validate(stop_signals);
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

void Trainer::validate(const tools::StopSignals& stop_signals) {
  const Phase phase(environment_.context, "validation", step_);
  validator_->validate(step_, [&] { return stop_signals.received().has_value(); });
  stop_ = sums_->any(stop_signals.received().has_value());
  if (stop_) return;  // perhaps it was cut short
  if (validation_position_) validation_position_->validated(step_);
  if (samples_) samples_->write(step_);
}

void Trainer::save(components::SaveReason reason) {
  const Phase phase(environment_.context, "checkpoint", step_);
  checkpointer_->save(step_, reason);
  saved_step_ = step_;
}

void Trainer::save_at_end() {
  if (checkpointer_ == nullptr) return;
  if (step_ != saved_step_) save(components::SaveReason::kCutShort);
  const Phase phase(environment_.context, "checkpoint", step_);
  checkpointer_->finish();
}

void Trainer::create_seed_checkpoint() {
  TITAN_CHECK(checkpointer_ != nullptr, "a seed checkpoint is a checkpoint");
  checkpointer_->save(0, components::SaveReason::kSeed);
  checkpointer_->finish();
  tools::log_info("Created seed checkpoint");
}

}  // namespace titan::trainer
