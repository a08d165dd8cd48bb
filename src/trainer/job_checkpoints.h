#pragma once

#include <cstdint>
#include <memory>

#include "titan/comm/rank_context.h"
#include "titan/components/checkpoint/checkpointer.h"
#include "titan/config/job_config.h"
#include "titan/protocols/train_spec.h"

namespace titan::trainer {

class ValidationPosition;

/// What a job's checkpoints hold. Everything outlives the checkpointer.
struct CheckpointedJob {
  const config::JobConfig& config;
  const comm::RankContext& context;
  const protocols::TrainSpec& spec;
  const protocols::ModelArgs& model_args;
  protocols::ModelParts& model_parts;
  protocols::Optimizers& optimizers;
  protocols::LRSchedulers& lr_schedulers;
  protocols::DataLoader& dataloader;
  const protocols::Tokenizer* tokenizer;  // null for models without one
  ValidationPosition* validation;         // null where every validation begins at the start
  std::int64_t& step;
  std::int64_t& tokens_seen;
};

/// Null where `checkpoint.enable` is false or the job is pretended. Throws ConfigError.
std::unique_ptr<components::Checkpointer> make_checkpointer(const CheckpointedJob& job);

}  // namespace titan::trainer
