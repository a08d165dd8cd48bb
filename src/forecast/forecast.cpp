#include "titan/forecast/forecast.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

#include "forecast/step_simulation.h"
#include "titan/base/errors.h"
#include "titan/config/job_config.h"

namespace titan::forecast {
namespace {

using config::ActivationCheckpointMode;

/// A job's step on ranks of the world, in their order: as many at once as the machine has cores.
std::vector<SimulatedStep> simulate_ranks(const config::JobConfig& config,
                                          const mesh::ParallelDims& dims, std::int64_t microbatches,
                                          const std::vector<std::int64_t>& ranks) {
  std::vector<SimulatedStep> steps(ranks.size());
  std::vector<std::exception_ptr> errors(ranks.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < ranks.size(); i = next++) {
      try {
        steps[i] = simulate_step(config, dims, microbatches, ranks[i]);
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  };
  std::vector<std::thread> others;
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  while (others.size() + 1 < std::min(cores, ranks.size())) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return steps;
}

std::size_t largest_of(const std::vector<SimulatedStep>& steps) {
  const auto peak = [](const SimulatedStep& step) { return step.memory.peak; };
  return static_cast<std::size_t>(std::ranges::max_element(steps, {}, peak) - steps.begin());
}

/// What a change of the job comes to.
class Changes {
 public:
  /// `largest`: the place in the pipeline that needs most unchanged.
  Changes(const mesh::ParallelDims& dims, std::int64_t microbatches, std::size_t largest)
      : dims_(dims), microbatches_(microbatches) {
    const auto last = dims.size(mesh::MeshDim::kPp) - 1;
    places_ = {0, std::min<std::int64_t>(1, last), last, static_cast<std::int64_t>(largest)};
    std::ranges::sort(places_);
    const auto repeated = std::ranges::unique(places_);
    places_.erase(repeated.begin(), repeated.end());
  }

  MemoryFigures memory(const config::JobConfig& config, const mesh::ParallelDims& dims) const {
    const std::vector<std::int64_t> pipeline = dims.ranks(mesh::MeshDim::kPp, 0);
    std::vector<std::int64_t> ranks;
    for (const std::int64_t place : places_) {
      ranks.push_back(pipeline[static_cast<std::size_t>(place)]);
    }
    std::vector<SimulatedStep> steps = simulate_ranks(config, dims, microbatches_, ranks);
    return steps[largest_of(steps)].memory;
  }
  MemoryFigures memory(const config::JobConfig& config) const { return memory(config, dims_); }

 private:
  const mesh::ParallelDims& dims_;
  std::int64_t microbatches_;
  std::vector<std::int64_t> places_;  // in the pipeline, that are looked at
};

/// Half the rows, logits in parts, or twice the shards, where that is possible.
void try_alternatives(const config::JobConfig& config, const mesh::ParallelDims& dims,
                      const Changes& changes, Forecast& forecast) {
  const std::int64_t configured = forecast.memory.front().peak;
  const auto offer = [&](std::string change, std::int64_t peak) {
    if (peak < configured) forecast.alternatives.push_back({std::move(change), peak});
  };
  for (std::size_t i = 1; i < forecast.memory.size(); ++i) {
    const MemoryFigures& memory = forecast.memory[i];
    offer(concat("activation_checkpoint.mode = \"", memory.activation_checkpoint, "\""),
          memory.peak);
  }
  const std::int64_t rows = config.parallelism.pipeline_parallel_microbatch_size;
  const bool can_be_halved =
      config.training.local_batch_size % 2 == 0 &&
      (!dims.pp_enabled() || config.training.local_batch_size / 2 % rows == 0);
  if (can_be_halved) {
    config::JobConfig other = config;
    other.training.local_batch_size /= 2;
    try {
      offer(concat("training.local_batch_size = ", other.training.local_batch_size),
            changes.memory(other).peak);
    } catch (const ConfigError&) {
      // Too few microbatches for the job's schedule.
    }
  }
  if (dims.tp_enabled() && config.parallelism.disable_loss_parallel) {
    config::JobConfig other = config;
    other.parallelism.disable_loss_parallel = false;
    offer("parallelism.disable_loss_parallel = false", changes.memory(other).peak);
  }
  if (dims.cp_enabled()) {
    mesh::Degrees shorter = dims.degrees();
    shorter.cp *= 2;
    if (mesh::sequences_divide(shorter, config.training.seq_len)) {
      const mesh::ParallelDims larger(shorter, dims.world_size() * 2);
      offer(concat("twice the ranks, parallelism.context_parallel_degree = ", shorter.cp),
            changes.memory(config, larger).peak);
    }
  }
  mesh::Degrees twice = dims.degrees();
  twice.dp_shard *= 2;
  if (!dims.dp_replicate_enabled() || dims.fsdp_enabled()) {
    const mesh::ParallelDims larger(twice, dims.world_size() * 2);
    offer(concat("twice the ranks, parallelism.data_parallel_shard_degree = ", twice.dp_shard),
          changes.memory(config, larger).peak);
  }
  std::ranges::sort(forecast.alternatives, {}, &Alternative::peak);
}

PipelineRank figures_of(const SimulatedStep& step) {
  PipelineRank rank{step.stages, step.in_flight, step.memory};
  for (const Communication& sum : step.communication) rank.sent_bytes += sum.sent_bytes;
  return rank;
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
  std::vector<SimulatedStep> steps =
      simulate_ranks(config, dims, forecast.microbatches, dims.ranks(mesh::MeshDim::kPp, 0));
  forecast.largest = largest_of(steps);
  if (dims.pp_enabled())
    std::ranges::transform(steps, std::back_inserter(forecast.pipeline), figures_of);
  SimulatedStep& step = steps[forecast.largest];
  forecast.total_parameters = step.total_parameters;
  forecast.communication = std::move(step.communication);
  forecast.tensor_plan = std::move(step.tensor_plan);
  forecast.memory.push_back(std::move(step.memory));
  if (!alternatives) return forecast;
  const Changes changes(dims, forecast.microbatches, forecast.largest);
  std::vector<ActivationCheckpointMode> modes = {ActivationCheckpointMode::kNone,
                                                 ActivationCheckpointMode::kSelective,
                                                 ActivationCheckpointMode::kFull};
  const config::Compile& compile = config.compile;  // the budget's condition
  if (compile.enable && std::ranges::count(compile.components, "model") > 0) {
    modes.push_back(ActivationCheckpointMode::kMemoryBudget);
  }
  for (const ActivationCheckpointMode mode : modes) {
    if (mode == config.activation_checkpoint.mode) continue;
    config::JobConfig other = config;
    other.activation_checkpoint.mode = mode;
    forecast.memory.push_back(changes.memory(other));
  }
  try_alternatives(config, dims, changes, forecast);
  return forecast;
} catch (const c10::Error& error) {
  throw RunError(concat("no forecast: ", error.what_without_backtrace()));
}

}  // namespace titan::forecast
