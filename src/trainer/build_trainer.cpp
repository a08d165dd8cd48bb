#include <algorithm>
#include <cctype>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/checkpointer.h"
#include "titan/components/expert_balance/expert_balance.h"
#include "titan/profiling/operator_profile.h"
#include "titan/step/build_step_runner.h"
#include "titan/step/early_step.h"
#include "titan/step/module_listing.h"
#include "titan/step/phase.h"
#include "titan/step/precision.h"
#include "titan/tools/colors.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"
#include "titan/tools/startup_times.h"
#include "titan/trainer/trainer.h"
#include "trainer/job_checkpoints.h"
#include "trainer/nonfinite.h"
#include "trainer/rank_sums.h"
#include "trainer/samples.h"
#include "trainer/validation_position.h"

namespace titan::trainer {

namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

}  // namespace

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
  if (config_.validation.enable) build_validation_data();
}

/// Before checkpoints, which know where validations stand.
void Trainer::build_validation_data() {
  if (!spec_.build_validator) {
    throw ConfigError(concat("validation.enable: ", config_.model.name, " has no validator"));
  }
  validation_data_ = build_dataloader(protocols::DataPurpose::kValidation);
  if (config_.validation.steps == -1) return;
  validation_position_ = std::make_unique<ValidationPosition>(*validation_data_);
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
  model_ = step::build_model_parts(spec_, *model_args_, environment_.context, config_);
  if (model.print_after_conversion) {
    for (const protocols::ModelPart& part : model_.parts) {
      tools::log_info("Model definition after conversion:\n\n", step::module_listing(*part.model));
    }
  }
  TITAN_CHECK(model_.size.flops_per_token > 0, "a model must report its operations per token");
  const tools::Colors colors = tools::console_colors(config_.metrics.disable_color_printing);
  tools::log_info(colors.blue, "Model ", model.name, " ", model.flavor, " ", colors.red,
                  "size: ", tools::with_thousands(model_.size.parameters), " total parameters",
                  colors.reset);
  if (model_.size.active_parameters) {
    tools::log_info("Of these, ", tools::with_thousands(*model_.size.active_parameters),
                    " are active for a token");
  }
  step::init_model_parts(model_.parts, environment_.context, config_.training);
  for (const protocols::ModelPart& part : model_.parts) {
    if (environment_.operator_profile != nullptr)
      environment_.operator_profile->follow(*part.model);
  }
  parameters_ = protocols::parameters_of(model_.parts);
  if (config_.compile.cuda_graphs && environment_.graphs == nullptr) {
    throw ConfigError(concat("compile.cuda_graphs: graphs are a GPU's, and this job computes on ",
                             environment_.context.device.str()));
  }
  runner_ = step::build_step_runner(
      spec_, {model_.parts, environment_.context, config_,
              spec_.build_loss(environment_.context, config_), tokenizer_.get(),
              [this](std::int64_t number) {
                if (early_step_)
                  early_step_->set_last_microbatch(number + 1 == accumulation_steps_);
              },
              config_.compile.cuda_graphs ? environment_.graphs : nullptr});
}

void Trainer::build_optimizers() {
  optimizers_ = spec_.build_optimizers(model_.parts, environment_.context, config_);
  for (const auto& converter : model_.converters) {
    optimizers_->add_step_post_hook(
        [this, &converter = *converter] { converter.after_optimizer_step(model_.parts); });
  }
  expert_balance_ = std::make_unique<components::ExpertBalance>(model_.parts, environment_.context);
  if (expert_balance_->has_experts()) {
    optimizers_->add_step_pre_hook([this] { expert_balance_->update(); });
  } else {
    expert_balance_.reset();
  }
  lr_schedulers_ = spec_.build_lr_schedulers(*optimizers_, config_);
  if (!config_.optimizer.early_step_in_backward) return;
  early_step_ = std::make_unique<step::EarlyStep>(model_.parts, *optimizers_);
  tools::log_info(
      "Optimizer steps in backward: gradients are not clipped, and their norm is logged as 0");
}

void Trainer::build_checkpointer() {
  checkpointer_ =
      make_checkpointer({config_, environment_.context, spec_, *model_args_, model_.parts,
                         *optimizers_, *lr_schedulers_, *dataloader_, tokenizer_.get(),
                         validation_position_.get(), step_, tokens_seen_});
  if (checkpointer_ == nullptr || config_.checkpoint.create_seed_checkpoint) return;
  const step::Phase phase(environment_.context, "loading", step_);
  const std::optional<std::int64_t> finished_at = checkpointer_->load();
  step_ = finished_at.value_or(step_);
  saved_step_ = step_;
  environment_.startup_times.finish("checkpoint");
}

void Trainer::build_metrics() {
  protocols::MetricsSetup setup;
  setup.flops_per_token = model_.size.flops_per_token;
  setup.peak_flops = tools::peak_flops(environment_.device_facts.name);
  setup.total_steps = config_.training.steps;
  setup.resumed_at = step_;
  setup.memory = &environment_.memory;
  setup.non_data_parallel_size = environment_.context.dims.non_data_parallel_size();
  setup.rank = environment_.context.rank;
  metrics_ = spec_.build_metrics_processor(setup, config_);
  nonfinite_ = std::make_unique<NonfinitePolicy>(config_.debug.on_nan, model_.parts,
                                                 environment_.context, *metrics_);
}

void Trainer::build_validation() {
  if (validation_data_ == nullptr) return;
  const auto loss_sum = [this](protocols::Batch& batch) { return runner_->loss_sum(batch); };
  const auto sum_over_ranks = [this](const protocols::RankFigures& mine) {
    return sums_->sum(mine);
  };
  validator_ = spec_.build_validator(
      {std::move(validation_data_), loss_sum, *metrics_, sum_over_ranks}, config_);
  if (validation_position_) {
    validation_position_->go_on_behind(step_, *validator_, config_.validation.steps);
  }
  build_samples();
}

void Trainer::build_samples() {
  const config::Validation& validation = config_.validation;
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
  samples_ = std::make_unique<Samples>(base::posix_file_system(), config_.job.dump_folder,
                                       *tokenizer_, *runner_, options);
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
  const step::Precision precision = step::precision_of(training, environment_.context.dims);
  tools::log_info("Precision: parameters ", config::to_string(training.dtype), ", compute ",
                  precision.text());
  const bool wants_half = training.mixed_precision_param == config::DType::kBFloat16;
  if (wants_half && precision.compute != c10::kBFloat16 && !precision.autocast) {
    tools::log_warning(
        "training.mixed_precision_param = \"bfloat16\" has no effect: with tensor or pipeline "
        "parallelism mixed "
        "precision comes with sharded parameters (data_parallel_shard_degree > 1)");
  }
  tools::log_info(
      "Trainer is initialized with local batch size ", training.local_batch_size,
      ", global batch size ", training.local_batch_size * data_ranks_ * accumulation_steps_,
      ", gradient accumulation steps ", accumulation_steps_, ", sequence length ", training.seq_len,
      ", total steps ", training.steps, " (warmup ", config_.lr_scheduler.warmup_steps, ")");
}

}  // namespace titan::trainer
