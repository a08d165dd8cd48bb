#include "components/quantization/capability.h"

#include "titan/base/errors.h"
#include "titan/tools/accelerator.h"

namespace titan::components {

void check_capability(const comm::RankContext& context, const RequiredCapability& required) {
  const std::string hint =
      concat("; ", required.instead, " rounds in the same way and multiplies in float32");
  if (context.kernels() != at::kCUDA) {
    throw ConfigError(concat(required.converter, ": a CPU has no float8 products", hint));
  }
  if (context.device.type() != at::kCUDA) return;  // a forecast
  const tools::AcceleratorSearch search = tools::find_accelerator();
  if (search.accelerator == nullptr) return;
  const tools::DeviceFacts facts = search.accelerator->facts(context.device.index());
  if (facts.capability >= required.capability) return;
  throw ConfigError(concat(required.converter, " needs a GPU of compute capability ",
                           required.capability / 10, ".", required.capability % 10, " or above; ",
                           facts.name, " has ", facts.capability / 10, ".", facts.capability % 10,
                           hint));
}

}  // namespace titan::components
