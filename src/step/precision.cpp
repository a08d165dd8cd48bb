#include "titan/step/precision.h"

#include "titan/parallel/dtype.h"

namespace titan::step {

std::string_view Precision::text() const {
  if (autocast) return "bfloat16 (autocast)";
  return compute == c10::kBFloat16 ? "bfloat16" : "float32";
}

Precision precision_of(const config::Training& training, const mesh::ParallelDims& dims) {
  Precision precision;
  if (dims.fsdp_enabled()) {
    precision.compute = parallel::torch_dtype(training.mixed_precision_param);
    return precision;
  }
  precision.compute = parallel::torch_dtype(training.dtype);
  precision.autocast = training.mixed_precision_param == config::DType::kBFloat16 &&
                       !dims.tp_enabled() && !dims.pp_enabled();
  return precision;
}

}  // namespace titan::step
