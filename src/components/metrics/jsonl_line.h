#pragma once

#include <string>

#include "titan/components/metrics_sink.h"

namespace titan::components {

/// The report as one line of metrics.jsonl, with its newline.
std::string jsonl_line(const StepReport& report);

}  // namespace titan::components
