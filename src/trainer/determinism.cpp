#include "trainer/determinism.h"

#include <ATen/Context.h>

#include "titan/tools/logging.h"

namespace titan::trainer {

void use_deterministic_algorithms(const config::Debug& debug) {
  tools::log_info("Deterministic algorithm enabled (expect perf degradation).");
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(true, debug.deterministic_warn_only);
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
  // Every empty tensor would be filled first, which changes no result of ours and costs time.
  context.setDeterministicFillUninitializedMemory(false);
}

}  // namespace titan::trainer
