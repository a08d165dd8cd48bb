#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "titan/components/loss/loss.h"
#include "titan/components/loss/vocabulary_parallel_loss.h"
#include "titan/components/lr_scheduler/lr_scheduler.h"
#include "titan/components/optimizer/optimizer.h"
#include "titan/config/job_config.h"
#include "titan/models/deepseek_v3/train_spec.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/models/llama4/train_spec.h"
#include "titan/models/qwen3/train_spec.h"
#include "titan/parallel/tensor_parallel.h"
#include "titan/protocols/train_spec.h"

namespace titan::forecast::test {

/// The same batch without end, a document in each row. Its tokens differ, or they would all choose the same experts.
class OneBatchLoader : public protocols::DataLoader {
 public:
  OneBatchLoader(std::int64_t rows, std::int64_t seq_len) : rows_(rows), seq_len_(seq_len) {}
  bool next(protocols::Batch& batch) override {
    const auto tokens = static_cast<std::size_t>(rows_ * seq_len_);
    std::vector<std::int64_t> inputs(tokens);
    for (std::size_t i = 0; i < tokens; ++i) inputs[i] = static_cast<std::int64_t>(i * 37 % 2039);
    batch = {rows_, seq_len_, std::move(inputs), std::vector<std::int64_t>(tokens, 8),
             std::vector<std::uint8_t>(tokens, 0)};
    return true;
  }
  protocols::DataPosition position() const override { return {}; }
  void restart() override {}
  void restore(const std::vector<protocols::DataPosition>&) override {}

 private:
  std::int64_t rows_, seq_len_;
};

class NoMetrics : public protocols::MetricsProcessor {
 public:
  bool should_log(std::int64_t) const override { return false; }
  void add_batch(std::int64_t, double) override {}
  void log(const protocols::StepMetrics&) override {}
  void log_validation(const protocols::ValidationMetrics&) override {}
  void close() override {}
};

/// On parts of the vocabulary where the logits are cut.
inline protocols::LossFunction loss_of_layout(const comm::RankContext& context,
                                              const config::JobConfig& c) {
  if (!parallel::computes_loss_in_parts(context.dims, c.parallelism)) {
    return components::cross_entropy_loss;
  }
  const auto args = protocols::get_model_args(c.model.name, c.model.flavor);
  return [vocab_size = args->vocab_size(), &group = context.group(mesh::MeshDim::kTp)](
             const at::Tensor& prediction, const at::Tensor& labels) {
    return components::vocabulary_parallel_cross_entropy_loss(prediction, labels, vocab_size,
                                                              group);
  };
}

/// Registers all models with real optimizers and loss, and data without files. Any number of times.
inline void register_models() {
  static const bool registered = [] {
    protocols::TextBuilders builders;
    builders.build_optimizers = [](const protocols::ModelParts& parts, const comm::RankContext&,
                                   const config::JobConfig& c) {
      return components::build_optimizers(protocols::named_parameters(parts), c.optimizer);
    };
    builders.build_lr_schedulers = [](protocols::Optimizers& optimizers,
                                      const config::JobConfig& c) {
      return components::build_lr_schedulers(optimizers, c.lr_scheduler, c.training.steps);
    };
    builders.build_dataloader = [](protocols::DataPurpose, std::int64_t, std::int64_t,
                                   const protocols::Tokenizer*, const config::JobConfig& c) {
      return std::make_unique<OneBatchLoader>(c.training.local_batch_size, c.training.seq_len);
    };
    builders.build_loss = [](const comm::RankContext& context, const config::JobConfig& c) {
      return loss_of_layout(context, c);
    };
    builders.build_metrics_processor = [](const protocols::MetricsSetup&,
                                          const config::JobConfig&) {
      return std::make_unique<NoMetrics>();
    };
    protocols::register_train_spec("deepseek_v3", models::deepseek_v3::train_spec(builders));
    protocols::register_train_spec("llama3", models::llama3::train_spec(builders));
    protocols::register_train_spec("llama4", models::llama4::train_spec(builders));
    protocols::register_train_spec("qwen3", models::qwen3::train_spec(builders));
    return true;
  }();
  static_cast<void>(registered);
}

/// The debug model, small batches.
inline config::JobConfig debug_job() {
  register_models();
  config::JobConfig config;
  config.model.name = "llama3";
  config.model.flavor = "debugmodel";
  config.training.local_batch_size = 2;
  config.training.seq_len = 256;
  config.training.mixed_precision_param = config::DType::kFloat32;
  config.training.device = config::Device::kCpu;
  config.debug.seed = 1;
  return config;
}

/// The same on shards and tensor-parallel ranks.
inline config::JobConfig debug_job(std::int64_t shard, std::int64_t tensor) {
  config::JobConfig config = debug_job();
  config.parallelism.data_parallel_shard_degree = shard;
  config.parallelism.tensor_parallel_degree = tensor;
  return config;
}

}  // namespace titan::forecast::test
