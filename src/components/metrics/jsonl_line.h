#pragma once

#include <string>

#include "titan/components/metrics/metrics_sink.h"

namespace titan::components {

/// The report as one line of metrics.jsonl, with its newline.
std::string jsonl_line(const StepReport& report);
/// The same of a validation, whose loss is "validation_loss".
std::string jsonl_line(const ValidationReport& report);

}  // namespace titan::components
