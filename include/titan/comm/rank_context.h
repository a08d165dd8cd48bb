#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/Device.h>

#include <cstdint>

namespace titan::comm {

/// Everything that differs from rank to rank. Passed along, never global: ranks may be threads of
/// one process.
struct RankContext {
  std::int64_t rank = 0;
  std::int64_t world_size = 1;
  at::Device device = at::kCPU;
  /// Draws the initial weights of parameters on `device`.
  at::Generator generator;
};

}  // namespace titan::comm
