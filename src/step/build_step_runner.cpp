#include "titan/step/build_step_runner.h"

#include <utility>

#include "titan/step/one_model.h"
#include "titan/step/pipelined.h"

namespace titan::step {

std::unique_ptr<protocols::StepRunner> build_step_runner(const protocols::TrainSpec& spec,
                                                         protocols::StepSetup setup) {
  if (spec.build_step_runner) return spec.build_step_runner(std::move(setup));
  if (setup.context.dims.pp_enabled()) return std::make_unique<Pipelined>(std::move(setup));
  return std::make_unique<OneModel>(std::move(setup));
}

}  // namespace titan::step
