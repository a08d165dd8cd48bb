#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace titan::tools {

/// What a device says about itself. A room that knows an accelerator fills its own.
struct DeviceFacts {
  std::string type;  // "cpu", "cuda"
  std::string name;  // as the driver or /proc/cpuinfo has it
  std::uint64_t total_memory_bytes = 0;
};

/// The machine's processor and physical memory.
DeviceFacts cpu_facts();

/// The first "model name" of /proc/cpuinfo's text; "CPU" where there is none (ARM).
std::string cpu_model_name(std::string_view cpuinfo);

}  // namespace titan::tools
