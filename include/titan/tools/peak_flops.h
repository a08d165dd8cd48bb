#pragma once

#include <optional>
#include <string_view>

namespace titan::tools {

/// Dense BF16 floating-point operations per second of a device, by its name as the driver reports
/// it ("NVIDIA H100 80GB HBM3"); TorchTitan v0.2.2's table. An unknown device has no peak, so no
/// MFU is shown for it: the A100's number would be a wrong answer.
std::optional<double> peak_flops(std::string_view device_name);

}  // namespace titan::tools
