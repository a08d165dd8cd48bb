#include "components/quantization/capability.h"

#include "titan/base/errors.h"
#include "titan/tools/accelerator.h"

namespace titan::components {

namespace {

std::string version(int capability) { return concat(capability / 10, ".", capability % 10); }

std::string needed(const RequiredCapability& required) {
  const std::string least =
      concat("a GPU of compute capability ", version(required.capability), " or above");
  return required.below == 0 ? least : concat(least, ", below ", version(required.below));
}

std::string hint(const RequiredCapability& required) {
  return concat("; ", required.instead, " rounds in the same way and multiplies in ",
                required.multiplies_in);
}

}  // namespace

std::string capability_problem(const RequiredCapability& required, const tools::DeviceFacts& gpu) {
  const bool is_later = required.below != 0 && gpu.capability >= required.below;
  if (gpu.capability >= required.capability && !is_later) return {};
  return concat(required.converter, " needs ", needed(required), "; ", gpu.name, " has ",
                version(gpu.capability), hint(required));
}

void check_capability(const comm::RankContext& context, const RequiredCapability& required) {
  if (context.kernels() != at::kCUDA) {
    throw ConfigError(concat(required.converter, ": a CPU has no float8 products", hint(required),
                             " (needed is ", needed(required), ")"));
  }
  if (context.device.type() != at::kCUDA) return;  // a forecast
  const tools::AcceleratorSearch search = tools::find_accelerator();
  if (search.accelerator == nullptr) return;
  const std::string problem =
      capability_problem(required, search.accelerator->facts(context.device.index()));
  if (!problem.empty()) throw ConfigError(problem);
}

}  // namespace titan::components
