#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "titan/comm/groups.h"
#include "titan/mesh/parallel_dims.h"

namespace titan::watch {
class Watch;
}
namespace titan::parallel {
class PlanObserver;
}

namespace titan::comm {

/// Everything that differs from rank to rank. Passed along, never global: ranks may be threads of
/// one process. What it points to outlives it.
struct RankContext {
  std::int64_t rank = 0;
  std::int64_t world_size = 1;
  at::Device device = at::kCPU;
  /// In a forecast: the kind of device whose kernels and allocator are pretended.
  std::optional<at::DeviceType> pretended;
  /// Draws the initial weights; of the device that parameters are on, seeded alike on all ranks.
  at::Generator generator;
  mesh::ParallelDims dims{mesh::Degrees{}, 1};
  /// Never null; as it is here, of a job of one rank on a CPU.
  std::shared_ptr<Groups> groups = std::make_shared<Groups>(at::kCPU);
  /// All ranks, on the CPU, for what goes on beside training; null in a job of one rank, and where nothing
  /// does.
  ProcessGroup* host_group = nullptr;
  /// Hears what this rank is doing, for messages about hangs; may be null.
  titan::watch::Watch* watch = nullptr;
  /// Is shown what tensor parallelism does to each module; may be null.
  titan::parallel::PlanObserver* plan_observer = nullptr;
  /// Whether this is the first of the ranks that are threads of this process: what a process has
  /// once is the first one's.
  bool leads_process = true;

  at::DeviceType kernels() const { return pretended.value_or(device.type()); }

  /// The group along a mesh dimension; of one rank where the dimension has one.
  ProcessGroup& group(mesh::MeshDim dim) const { return groups->find(dim); }
};

}  // namespace titan::comm
