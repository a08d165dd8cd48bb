#include "app/hardware.h"

#include <ATen/Context.h>

#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::app {

namespace {

/// The GPU that `training.device` allows and the machine has, or null for the CPU.
tools::Accelerator* choose_accelerator(config::Device wanted) {
  if (wanted == config::Device::kCpu) return nullptr;
  const tools::AcceleratorSearch search = tools::find_accelerator();
  if (search.accelerator == nullptr && wanted == config::Device::kCuda) {
    throw RunError("training.device = \"cuda\", but " + search.reason + ".");
  }
  if (search.accelerator == nullptr) tools::log_info("Running on the CPU: ", search.reason);
  return search.accelerator;
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
  const int index = static_cast<int>(launch.local_rank);
  if (index >= hardware.accelerator->device_count()) {
    throw RunError(concat("local rank ", index, " has no GPU: this machine shows ",
                          hardware.accelerator->device_count(),
                          ". Start as many ranks as there are GPUs (NGPU), or set "
                          "training.device = \"cpu\"."));
  }
  hardware.device = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
  hardware.facts = hardware.accelerator->facts(index);
  prefer_attention_kernels();
  return hardware;
}

}  // namespace titan::app
