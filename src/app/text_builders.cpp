#include "text_builders.h"

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/loss.h"
#include "titan/components/lr_scheduler.h"
#include "titan/components/metrics.h"
#include "titan/components/optimizer.h"
#include "titan/components/text_dataset.h"
#include "titan/components/tokenizer.h"
#include "titan/config/job_config.h"
#include "titan/config/print.h"

namespace titan::app {

namespace {

using config::JobConfig;

std::unique_ptr<protocols::Optimizers> build_optimizers(const protocols::ModelParts& parts,
                                                        const JobConfig& config) {
  std::vector<nn::NamedTensor> parameters;
  for (const auto& part : parts) {
    for (nn::NamedTensor& parameter : part->named_parameters()) {
      parameters.push_back(std::move(parameter));
    }
  }
  return components::build_optimizers(parameters, config.optimizer);
}

std::unique_ptr<protocols::DataLoader> build_dataloader(std::int64_t dp_rank,
                                                        std::int64_t dp_world_size,
                                                        const protocols::Tokenizer* tokenizer,
                                                        const JobConfig& config) {
  TITAN_CHECK(tokenizer != nullptr, "a text data loader needs a tokenizer");
  components::TextDataOptions options;
  options.dataset = config.training.dataset;
  options.path = config.training.dataset_path;
  options.dp_rank = dp_rank;
  options.dp_world_size = dp_world_size;
  options.batch_size = config.training.local_batch_size;
  options.seq_len = config.training.seq_len;
  return components::build_text_dataloader(options, *tokenizer, base::posix_file_system());
}

}  // namespace

protocols::TextBuilders text_builders() {
  protocols::TextBuilders builders;
  builders.build_optimizers = build_optimizers;
  builders.build_lr_schedulers = [](protocols::Optimizers& optimizers, const JobConfig& config) {
    return components::build_lr_schedulers(optimizers, config.lr_scheduler, config.training.steps);
  };
  builders.build_dataloader = build_dataloader;
  builders.build_tokenizer = [](const JobConfig& config) {
    return components::build_hf_tokenizer(base::posix_file_system(), config.model.hf_assets_path);
  };
  builders.build_loss = [](const JobConfig&) { return components::cross_entropy_loss; };
  builders.build_metrics_processor = [](const protocols::MetricsSetup& setup,
                                        const JobConfig& config) {
    return components::build_metrics_processor(
        setup, config.metrics, {config.job.dump_folder, config::config_json(config)});
  };
  return builders;
}

}  // namespace titan::app
