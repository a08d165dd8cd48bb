#include "titan/step/build_step_runner.h"

#include <utility>

#include "titan/base/errors.h"
#include "titan/step/one_model.h"
#include "titan/step/pipelined.h"

namespace titan::step {

std::unique_ptr<protocols::StepRunner> build_step_runner(const protocols::TrainSpec& spec,
                                                         protocols::StepSetup setup) {
  const bool is_one_model = !spec.build_step_runner && !setup.context.dims.pp_enabled();
  if (setup.graphs != nullptr && !is_one_model) {
    throw ConfigError(
        "compile.cuda_graphs: only the step of a language model that is whole on its rank is "
        "captured; this model brings a step of its own, or is a pipeline's stage");
  }
  if (spec.build_step_runner) return spec.build_step_runner(std::move(setup));
  if (setup.context.dims.pp_enabled()) return std::make_unique<Pipelined>(std::move(setup));
  return std::make_unique<OneModel>(std::move(setup));
}

}  // namespace titan::step
