#include "app/text_builders.h"

#include <algorithm>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/loss/loss.h"
#include "titan/components/loss/vocabulary_parallel_loss.h"
#include "titan/components/lr_scheduler/lr_scheduler.h"
#include "titan/components/metrics/metrics.h"
#include "titan/components/optimizer/optimizer.h"
#include "titan/components/validate/validate.h"
#include "titan/config/job_config.h"
#include "titan/config/print.h"
#include "titan/parallel/tensor_parallel.h"
#include "titan/text/data/text_dataset.h"
#include "titan/text/tokenizer/tokenizer.h"

namespace titan::app {

namespace {

using config::JobConfig;

std::unique_ptr<protocols::DataLoader> build_dataloader(protocols::DataPurpose purpose,
                                                        std::int64_t dp_rank,
                                                        std::int64_t dp_world_size,
                                                        const protocols::Tokenizer* tokenizer,
                                                        const JobConfig& config) {
  TITAN_CHECK(tokenizer != nullptr, "a text data loader needs a tokenizer");
  text::TextDataOptions options = purpose == protocols::DataPurpose::kTraining
                                      ? training_data(config)
                                      : validation_data(config);
  options.dp_rank = dp_rank;
  options.dp_world_size = dp_world_size;
  return text::build_text_dataloader(options, *tokenizer, base::posix_file_system());
}

protocols::LossFunction build_loss(const comm::RankContext& context, const JobConfig& config) {
  if (!parallel::computes_loss_in_parts(context.dims, config.parallelism)) {
    return components::cross_entropy_loss;
  }
  const auto args = protocols::get_model_args(config.model.name, config.model.flavor);
  return [vocab_size = args->vocab_size(), &group = context.group(mesh::MeshDim::kTp)](
             const at::Tensor& prediction, const at::Tensor& labels) {
    return components::vocabulary_parallel_cross_entropy_loss(prediction, labels, vocab_size,
                                                              group);
  };
}

}  // namespace

text::TextDataOptions training_data(const JobConfig& config) {
  text::TextDataOptions options;
  options.dataset = config.training.dataset;
  options.path = config.training.dataset_path;
  options.data = config.data;
  options.shuffle_seed = static_cast<std::uint64_t>(config.debug.seed.value_or(0));
  options.batch_size = config.training.local_batch_size;
  options.seq_len = config.training.seq_len;
  options.prefetch_batches = static_cast<std::size_t>(config.training.dataloader.batches_ahead());
  return options;
}

text::TextDataOptions validation_data(const JobConfig& config) {
  text::TextDataOptions options;
  options.dataset = config.validation.dataset;
  options.path = config.validation.dataset_path;
  options.data = config.data;
  options.data.shuffle = false;
  options.data.mixture.clear();
  options.batch_size = config.validation.local_batch_size;
  options.seq_len = config.validation.seq_len;
  options.infinite = config.validation.steps != -1;
  options.prefetch_batches = static_cast<std::size_t>(config.validation.dataloader.batches_ahead());
  return options;
}

protocols::TextBuilders text_builders() {
  protocols::TextBuilders builders;
  builders.build_optimizers = [](const protocols::ModelParts& parts, const comm::RankContext&,
                                 const JobConfig& config) {
    const bool clips =
        config.compile.enable && std::ranges::count(config.compile.components, "optimizer") > 0;
    return components::build_optimizers(protocols::named_parameters(parts), config.optimizer,
                                        clips);
  };
  builders.build_lr_schedulers = [](protocols::Optimizers& optimizers, const JobConfig& config) {
    return components::build_lr_schedulers(optimizers, config.lr_scheduler, config.training.steps);
  };
  builders.build_dataloader = build_dataloader;
  builders.build_tokenizer = [](const JobConfig& config) {
    return text::build_hf_tokenizer(base::posix_file_system(), config.model.hf_assets_path);
  };
  builders.build_loss = build_loss;
  builders.build_validator = [](protocols::ValidatorSetup setup, const JobConfig& config) {
    return components::build_validator(std::move(setup), config.validation);
  };
  builders.build_metrics_processor = [](const protocols::MetricsSetup& setup,
                                        const JobConfig& config) {
    return components::build_metrics_processor(
        setup, config.metrics,
        {config.job.dump_folder, config::config_json(config), setup.rank, setup.reporting_rank});
  };
  return builders;
}

}  // namespace titan::app
