#include "components/quantization/linear_checks.h"

#include <algorithm>

#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/tools/logging.h"

namespace titan::components {

void check_loss(const config::JobConfig& config, const LinearSelection& selection) {
  const config::Compile& compile = config.compile;
  if (!compile.enable || std::ranges::count(compile.components, "loss") == 0) return;
  for (const auto& [name, module] : selection.converted) {
    if (name != "output") continue;
    throw ConfigError(
        "compile.components: \"loss\" makes the product of the module \"output\" itself, not in "
        "low "
        "precision; add \"output\" to filter_fqns, or leave \"loss\" out");
  }
}

void log_selection(const comm::RankContext& context, const std::string& how,
                   const LinearSelection& selection) {
  if (context.rank != 0) return;
  tools::log_info(how, ": ", selection.converted.size(), " linear layers");
  for (const auto& [name, reason] : selection.left) {
    tools::log_info("  ", name, " stays as it is: ", reason);
  }
}

}  // namespace titan::components
