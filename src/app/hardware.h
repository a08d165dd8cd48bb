#pragma once

#include <c10/core/Device.h>

#include "titan/config/job_config.h"
#include "titan/tools/accelerator.h"
#include "titan/tools/device_facts.h"
#include "titan/tools/launch_environment.h"

namespace titan::app {

/// Where the ranks of this process run.
struct Hardware {
  tools::Accelerator* accelerator = nullptr;
  at::Device device = at::kCPU;
  tools::DeviceFacts facts;
};

/// The device of this process that the config allows and the machine has; sets LibTorch's order of
/// attention kernels. Throws ConfigError, RunError.
Hardware choose_hardware(const config::JobConfig& config, const tools::LaunchEnvironment& launch);

}  // namespace titan::app
