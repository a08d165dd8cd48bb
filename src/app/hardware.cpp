#include "app/hardware.h"

#include <ATen/Context.h>

#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::app {

namespace {

/// The GPU that `training.device` allows and the machine has, or null for the CPU. A GPU that cannot be used
/// is no reason for a run that takes a thousand times as long: who wants that says so.
tools::Accelerator* choose_accelerator(config::Device wanted) {
  if (wanted == config::Device::kCpu) return nullptr;
  const tools::AcceleratorSearch search = tools::find_accelerator();
  if (search.accelerator != nullptr) return search.accelerator;
  if (search.unusable) {
    throw RunError(concat("this machine has a GPU that cannot be used: ", search.reason,
                          ". With --training.device=cpu the CPU trains all the same."));
  }
  if (wanted == config::Device::kCuda) {
    throw RunError("training.device = \"cuda\", but " + search.reason + ".");
  }
  tools::log_info("Running on the CPU: ", search.reason);
  return nullptr;
}

/// The reference's order of attention kernels on a GPU.
void prefer_attention_kernels() {
  using at::SDPBackend;
  at::globalContext().setSDPPriorityOrder(
      {static_cast<std::int64_t>(SDPBackend::cudnn_attention),
       static_cast<std::int64_t>(SDPBackend::flash_attention),
       static_cast<std::int64_t>(SDPBackend::efficient_attention),
       static_cast<std::int64_t>(SDPBackend::math),
       static_cast<std::int64_t>(SDPBackend::overrideable)});
}

}  // namespace

Hardware choose_hardware(const config::JobConfig& config, const tools::LaunchEnvironment& launch) {
  Hardware hardware;
  hardware.accelerator = choose_accelerator(config.training.device);
  if (hardware.accelerator == nullptr) {
    hardware.facts = tools::cpu_facts();
    return hardware;
  }
  const int index = tools::gpu_of_rank(launch, hardware.accelerator->device_count());
  hardware.device = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
  hardware.facts = hardware.accelerator->facts(index);
  prefer_attention_kernels();
  return hardware;
}

}  // namespace titan::app
