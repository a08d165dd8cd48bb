#pragma once

#include <string>
#include <vector>

#include "titan/components/metrics/metrics_sink.h"

namespace titan::components {

/// A figure under the name that dashboards show.
struct Scalar {
  std::string tag;
  double value = 0;
};

/// The figures of a report under TorchTitan's tags. An unknown MFU is left out.
std::vector<Scalar> scalars(const StepReport& report);
std::vector<Scalar> scalars(const ValidationReport& report);

}  // namespace titan::components
