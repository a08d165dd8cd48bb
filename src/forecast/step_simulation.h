#pragma once

#include <cstdint>
#include <vector>

#include "titan/config/job_config.h"
#include "titan/forecast/figures.h"
#include "titan/mesh/parallel_dims.h"

namespace titan::forecast {

struct SimulatedStep {
  std::int64_t total_parameters = 0;
  MemoryFigures memory;
  std::vector<Communication> communication;
  TensorPlanFigures tensor_plan;
};

/// Rank 0's second optimizer step, on tensors without memory.
SimulatedStep simulate_step(const config::JobConfig& config, const mesh::ParallelDims& dims,
                            std::int64_t microbatches);

}  // namespace titan::forecast
