#include "components/quantization/conversion_report.h"

#include <utility>

#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::components {

void ConversionReport::tell(const std::string& how, const Selection& selection) {
  if (std::exchange(is_told_, true)) return;
  const std::string summary = concat(how, ": ", selection.converted.size(), " ", what_);
  if (selection.converted.empty()) {
    tools::log_warning(summary, ", nothing trains so");
  } else {
    tools::log_info(summary);
  }
  for (const auto& [name, reason] : selection.left) {
    tools::log_info("  ", name, " stays as it is: ", reason);
  }
  for (const std::string& part : selection.unmatched) {
    tools::log_warning("  ", option_, " has \"", part, "\", which names none of the ", what_);
  }
}

}  // namespace titan::components
