#include "components/quantization/conversion_report.h"

#include <utility>

#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/tools/logging.h"

namespace titan::components {

ConversionReport::ConversionReport(const config::JobConfig& config,
                                   const comm::RankContext& context, const char* what,
                                   const char* option)
    : what_(what),
      option_(option),
      names_all_(config.model.print_after_conversion),
      is_told_(context.rank != 0) {}

void ConversionReport::tell(const std::string& how, const Selection& selection) {
  if (std::exchange(is_told_, true)) return;
  const std::string summary = concat(how, ": ", selection.converted.size(), " ", what_);
  if (selection.converted.empty()) {
    tools::log_warning(summary, ", nothing trains so");
  } else {
    tools::log_info(summary);
  }
  if (names_all_) {
    for (const auto& [name, module] : selection.converted) {
      tools::log_info("  ", name, " is converted");
    }
  }
  for (const auto& [name, reason] : selection.left) {
    tools::log_info("  ", name, " stays as it is: ", reason);
  }
  for (const std::string& part : selection.unmatched) {
    tools::log_warning("  ", option_, " has \"", part, "\", which names none of the ", what_);
  }
}

}  // namespace titan::components
