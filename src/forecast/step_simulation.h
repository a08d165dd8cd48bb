#pragma once

#include <cstdint>
#include <vector>

#include "titan/config/job_config.h"
#include "titan/forecast/figures.h"
#include "titan/mesh/parallel_dims.h"

namespace titan::forecast {

struct SimulatedStep {
  std::int64_t total_parameters = 0;
  /// Of a pipeline, and how many microbatches they hold at most.
  std::vector<std::int64_t> stages;
  std::int64_t in_flight = 0;
  MemoryFigures memory;
  std::vector<Communication> communication;
  TensorPlanFigures tensor_plan;
};

/// Whether a pipeline's actions that repeat others are booked, or run like them: the figures are the same, but for messages that share
/// an exchange when they are run.
enum class Repetition { kBooked, kRun };

/// The second optimizer step of `rank` of the world, on tensors without memory. Any thread; several at a time.
SimulatedStep simulate_step(const config::JobConfig& config, const mesh::ParallelDims& dims,
                            std::int64_t microbatches, std::int64_t rank = 0,
                            Repetition repetition = Repetition::kBooked);

}  // namespace titan::forecast
