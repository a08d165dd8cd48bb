#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/protocols/train_spec.h"
#include "titan/schedule/schedule.h"

namespace titan::pipeline {

/// How a job cuts a model into stages, and in which order they work.
struct Plan {
  schedule::Kind kind;
  schedule::Placement placement;
  std::vector<std::vector<std::string>> modules;  // by stage
  std::int64_t microbatches = 1;                  // of a local batch
  std::int64_t microbatch_rows = 1;

  /// The schedule of computations: of `kind`, or as the job's CSV file says.
  schedule::Schedule schedule(const config::JobConfig& config) const;
};

/// As the config says for a model of `layers` layers, with the reference's rules: stages are `pipeline_parallel_layers_per_stage`
/// long, or one (two where the schedule has several) for each rank. Throws ConfigError.
Plan plan_of(const config::JobConfig& config, std::int64_t layers);
/// The same for a model, whole or a stage, whose layers are named "layers.0" and so on.
Plan plan_of(const config::JobConfig& config, nn::Module& model);

/// This rank's stages of a language model whose children are tok_embeddings, layers, norm and output, each
/// parallelized: the PipeliningFn of such models. Throws ConfigError.
protocols::ModelParts make_stages(
    const std::function<std::unique_ptr<protocols::ModelProtocol>()>& build,
    const comm::RankContext& context, const config::JobConfig& config,
    const protocols::ParallelizeFn& parallelize);

}  // namespace titan::pipeline
