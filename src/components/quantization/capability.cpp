#include "components/quantization/capability.h"

#include "titan/base/errors.h"
#include "titan/tools/accelerator.h"

namespace titan::components {

namespace {

std::string version(int capability) { return concat(capability / 10, ".", capability % 10); }

std::string hint(const RequiredCapability& required) {
  return concat("; ", required.instead, " rounds in the same way and multiplies in ",
                required.multiplies_in);
}

}  // namespace

std::string capability_problem(const RequiredCapability& required, const tools::DeviceFacts& gpu) {
  if (gpu.capability >= required.capability) return {};
  return concat(required.converter, " needs a GPU of compute capability ",
                version(required.capability), " or above; ", gpu.name, " has ",
                version(gpu.capability), hint(required));
}

void check_capability(const comm::RankContext& context, const RequiredCapability& required) {
  if (context.kernels() != at::kCUDA) {
    throw ConfigError(concat(required.converter, ": a CPU has no float8 products", hint(required),
                             " (needed is a GPU of compute capability ",
                             version(required.capability), " or above)"));
  }
  if (context.device.type() != at::kCUDA) return;  // a forecast
  const tools::AcceleratorSearch search = tools::find_accelerator();
  if (search.accelerator == nullptr) return;
  const std::string problem =
      capability_problem(required, search.accelerator->facts(context.device.index()));
  if (!problem.empty()) throw ConfigError(problem);
}

}  // namespace titan::components
