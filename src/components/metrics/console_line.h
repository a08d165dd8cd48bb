#pragma once

#include <string>

#include "titan/components/metrics/metrics_sink.h"
#include "titan/tools/colors.h"

namespace titan::components {

/// The line of a training step as TorchTitan v0.2.2 prints it; "mfu: n/a" without a known peak.
std::string console_line(const StepReport& report, const tools::Colors& colors);

/// The line of a validation as TorchTitan prints it.
std::string console_line(const ValidationReport& report, const tools::Colors& colors);

}  // namespace titan::components
