#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/forecast/figures.h"
#include "titan/mesh/parallel_dims.h"

namespace titan::config {
struct JobConfig;
}

namespace titan::forecast {

/// One change of the config or the layout, and the peak with it.
struct Alternative {
  std::string change;  // "training.local_batch_size = 4"
  std::int64_t peak = 0;
};

struct Forecast {
  std::string model;
  std::string flavor;
  mesh::Degrees degrees;
  std::int64_t world_size = 1;
  std::int64_t total_parameters = 0;
  std::int64_t local_batch_size = 0;
  std::int64_t seq_len = 0;
  std::int64_t microbatches = 1;  // of a rank, per step
  std::string kernels;            // "cpu" or "gpu": whose results are kept for backward
  /// As configured, then the other modes of activation checkpointing; of the pipeline's rank that needs most.
  std::vector<MemoryFigures> memory;
  /// Cheapest peak first.
  std::vector<Alternative> alternatives;
  /// Of the pipeline's rank that needs most as configured, which is `largest`.
  std::vector<Communication> communication;
  TensorPlanFigures tensor_plan;
  /// By place in the pipeline; empty without one.
  std::vector<PipelineRank> pipeline;
  std::size_t largest = 0;
};

/// Builds the model as rank 0 of `world_size` ranks would and runs two optimizer steps on tensors
/// without memory: the code of training itself, down to autograd and FSDP, with nothing computed and
/// nothing sent. Takes seconds and little memory for any model. Rank 0 holds the most of what is
/// sharded unevenly. Of a pipeline every rank is run, the first that has its stages; other modes and alternatives on its
/// first two, its last and its largest, of which the largest counts. With `alternatives`, also other modes of activation checkpointing, smaller
/// batches and more shards. The kernels are the CPU's where training.device is "cpu", else a GPU's.
/// Throws ConfigError for a layout that does not fit, RunError for operators whose results are
/// unknown.
Forecast make_forecast(const config::JobConfig& config, std::int64_t world_size, bool alternatives);

/// Tables for people.
std::string forecast_table(const Forecast& forecast);
/// The tensor-parallel plan as applied to the model: every line's modules, parameters and communication.
std::string plan_table(const Forecast& forecast);
/// One JSON object, indented, bytes as integers.
std::string forecast_json(const Forecast& forecast);
/// A sentence or two for a run that is out of memory with `peak_bytes` in use: what was to be
/// expected, and which options save most.
std::string forecast_text(const Forecast& forecast, std::int64_t peak_bytes);

}  // namespace titan::forecast
