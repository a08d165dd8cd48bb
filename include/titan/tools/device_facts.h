#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace titan::tools {

/// What a device says about itself. A room that knows an accelerator fills its own.
struct DeviceFacts {
  std::string type;  // "cpu", "cuda"
  std::string name;  // as the driver or /proc/cpuinfo has it
  std::uint64_t total_memory_bytes = 0;
  int capability = 0;  // of a GPU: compute capability times ten, 90 for 9.0
};

/// The machine's processor and physical memory.
DeviceFacts cpu_facts();

/// The first "model name" of /proc/cpuinfo's text; "CPU" where there is none (ARM).
std::string cpu_model_name(std::string_view cpuinfo);

/// Dense BF16 floating-point operations per second of a device, by its name as the driver reports
/// it ("NVIDIA H100 80GB HBM3"); TorchTitan v0.2.2's table. An unknown device has no peak, so no
/// MFU is shown for it: the A100's number would be a wrong answer.
std::optional<double> peak_flops(std::string_view device_name);

}  // namespace titan::tools
