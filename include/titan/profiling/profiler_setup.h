#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

namespace titan::base {
class FileSystem;
}
namespace titan::tools {
class Accelerator;
}

namespace titan::profiling {

/// Which rank is observed, and where the files go.
struct ProfilerSetup {
  base::FileSystem& files;
  std::string dump_folder;
  std::int64_t rank = 0;
  std::int64_t world_size = 1;
  at::Device device = at::kCPU;
  tools::Accelerator* accelerator = nullptr;  ///< of `device`; null on a CPU
};

}  // namespace titan::profiling
