#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "titan/comm/rank_context.h"
#include "titan/protocols/data_loader.h"
#include "titan/protocols/metrics.h"
#include "titan/protocols/model.h"
#include "titan/protocols/model_part.h"
#include "titan/protocols/optimizer.h"
#include "titan/protocols/state_dict_adapter.h"
#include "titan/protocols/step_runner.h"
#include "titan/protocols/tokenizer.h"
#include "titan/protocols/validator.h"

namespace titan::protocols {

using BuildModelFn =
    std::function<std::unique_ptr<ModelProtocol>(const ModelArgs&, at::ScalarType dtype)>;
/// Attaches parallelism and activation checkpointing to a model, or a stage of it, that is still on the meta
/// device. Says how its parameters lie on the ranks.
using ParallelizeFn = std::function<std::shared_ptr<parallel::Sharding>(
    ModelProtocol&, const comm::RankContext&, const config::JobConfig&)>;
/// Makes this rank's stages of a model, each parallelized. `build` makes the whole model anew, on the meta
/// device and converted.
using PipeliningFn = std::function<ModelParts(
    const std::function<std::unique_ptr<ModelProtocol>()>& build, const comm::RankContext&,
    const config::JobConfig&, const ParallelizeFn&)>;
using BuildOptimizersFn = std::function<std::unique_ptr<Optimizers>(
    const ModelParts&, const comm::RankContext&, const config::JobConfig&)>;
using BuildLRSchedulersFn =
    std::function<std::unique_ptr<LRSchedulers>(Optimizers&, const config::JobConfig&)>;
/// What batches are for: training's never end; validation's do, unless it has a number of steps.
enum class DataPurpose { kTraining, kValidation };
/// `tokenizer` is null for models without one.
using BuildDataLoaderFn = std::function<std::unique_ptr<DataLoader>(
    DataPurpose purpose, std::int64_t dp_rank, std::int64_t dp_world_size,
    const Tokenizer* tokenizer, const config::JobConfig&)>;
using BuildTokenizerFn = std::function<std::unique_ptr<Tokenizer>(const config::JobConfig&)>;
using BuildLossFn = std::function<LossFunction(const comm::RankContext&, const config::JobConfig&)>;
using BuildValidatorFn =
    std::function<std::unique_ptr<Validator>(ValidatorSetup, const config::JobConfig&)>;
using BuildMetricsProcessorFn =
    std::function<std::unique_ptr<MetricsProcessor>(const MetricsSetup&, const config::JobConfig&)>;
using BuildStateDictAdapterFn = std::function<std::unique_ptr<StateDictAdapter>(
    const ModelArgs&, const std::string& hf_assets_path)>;

/// All that the trainer needs to know to train one kind of model. Empty functions are optional
/// parts the model does not have.
struct TrainSpec {
  BuildModelFn build_model;
  std::map<std::string, std::shared_ptr<const ModelArgs>> model_args;  // by flavor
  ParallelizeFn parallelize;
  PipeliningFn pipelining;  // optional
  BuildOptimizersFn build_optimizers;
  BuildLRSchedulersFn build_lr_schedulers;
  BuildDataLoaderFn build_dataloader;
  BuildTokenizerFn build_tokenizer;  // optional
  BuildLossFn build_loss;
  BuildStepRunnerFn build_step_runner;  // optional: else a step is that of a language model
  BuildValidatorFn build_validator;     // optional
  BuildMetricsProcessorFn build_metrics_processor;
  BuildStateDictAdapterFn build_state_dict_adapter;  // optional
};

/// The builders that text models share. A model's train spec starts from them, so that no model
/// includes a component.
struct TextBuilders {
  BuildOptimizersFn build_optimizers;
  BuildLRSchedulersFn build_lr_schedulers;
  BuildDataLoaderFn build_dataloader;
  BuildTokenizerFn build_tokenizer;
  BuildLossFn build_loss;
  BuildValidatorFn build_validator;
  BuildMetricsProcessorFn build_metrics_processor;
};

/// Adds a spec under `model.name`. Throws ConfigError when the name is taken or a part that is not
/// optional is missing.
void register_train_spec(const std::string& name, TrainSpec spec);
/// Throws ConfigError listing the registered names.
const TrainSpec& get_train_spec(const std::string& name);
/// A copy of the flavor's arguments. Throws ConfigError listing the flavors.
std::unique_ptr<ModelArgs> get_model_args(const std::string& name, const std::string& flavor);

}  // namespace titan::protocols
