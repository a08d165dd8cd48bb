#include "titan/forecast/forecast.h"

#include <c10/util/Exception.h>

#include <algorithm>

#include "forecast/step_simulation.h"
#include "titan/base/errors.h"
#include "titan/config/job_config.h"

namespace titan::forecast {
namespace {

using config::ActivationCheckpointMode;

/// Half the rows, logits in parts, or twice the shards, where that is possible.
void try_alternatives(const config::JobConfig& config, const mesh::ParallelDims& dims,
                      Forecast& forecast) {
  const std::int64_t configured = forecast.memory.front().peak;
  const auto offer = [&](std::string change, std::int64_t peak) {
    if (peak < configured) forecast.alternatives.push_back({std::move(change), peak});
  };
  for (std::size_t i = 1; i < forecast.memory.size(); ++i) {
    const MemoryFigures& memory = forecast.memory[i];
    offer(concat("activation_checkpoint.mode = \"", memory.activation_checkpoint, "\""),
          memory.peak);
  }
  if (config.training.local_batch_size % 2 == 0) {
    config::JobConfig other = config;
    other.training.local_batch_size /= 2;
    offer(concat("training.local_batch_size = ", other.training.local_batch_size),
          simulate_step(other, dims, forecast.microbatches).memory.peak);
  }
  if (dims.tp_enabled() && config.parallelism.disable_loss_parallel) {
    config::JobConfig other = config;
    other.parallelism.disable_loss_parallel = false;
    offer("parallelism.disable_loss_parallel = false",
          simulate_step(other, dims, forecast.microbatches).memory.peak);
  }
  mesh::Degrees twice = dims.degrees();
  twice.dp_shard *= 2;
  if (!dims.dp_replicate_enabled() || dims.fsdp_enabled()) {
    const mesh::ParallelDims larger(twice, dims.world_size() * 2);
    offer(concat("twice the ranks, parallelism.data_parallel_shard_degree = ", twice.dp_shard),
          simulate_step(config, larger, forecast.microbatches).memory.peak);
  }
  std::ranges::sort(forecast.alternatives, {}, &Alternative::peak);
}

}  // namespace

Forecast make_forecast(const config::JobConfig& config, std::int64_t world_size,
                       bool alternatives) try {
  const mesh::ParallelDims dims(config.parallelism.degrees(), world_size);
  const config::Training& training = config.training;
  Forecast forecast;
  forecast.model = config.model.name;
  forecast.flavor = config.model.flavor;
  forecast.degrees = dims.degrees();
  forecast.world_size = world_size;
  forecast.local_batch_size = training.local_batch_size;
  forecast.seq_len = training.seq_len;
  forecast.microbatches = training.accumulation_steps(dims.size(mesh::MeshDim::kBatch));
  forecast.kernels = training.device == config::Device::kCpu ? "cpu" : "gpu";
  SimulatedStep step = simulate_step(config, dims, forecast.microbatches);
  forecast.total_parameters = step.total_parameters;
  forecast.communication = std::move(step.communication);
  forecast.tensor_plan = std::move(step.tensor_plan);
  forecast.memory.push_back(std::move(step.memory));
  if (!alternatives) return forecast;
  for (const ActivationCheckpointMode mode :
       {ActivationCheckpointMode::kNone, ActivationCheckpointMode::kSelective,
        ActivationCheckpointMode::kFull}) {
    if (mode == config.activation_checkpoint.mode) continue;
    config::JobConfig other = config;
    other.activation_checkpoint.mode = mode;
    forecast.memory.push_back(simulate_step(other, dims, forecast.microbatches).memory);
  }
  try_alternatives(config, dims, forecast);
  return forecast;
} catch (const c10::Error& error) {
  throw RunError(concat("no forecast: ", error.what_without_backtrace()));
}

}  // namespace titan::forecast
