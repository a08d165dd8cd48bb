#include "titan/components/quantization/converters.h"

#include "components/quantization/grouped_converters.h"
#include "components/quantization/linear_converters.h"

namespace titan::components {

void register_quantization() {
  protocols::register_model_converter("quantize.linear.float8", build_float8_converter);
  protocols::register_model_converter("quantize.linear.mx", build_mx_converter);
  protocols::register_model_converter("quantize.grouped_mm.float8", build_grouped_float8_converter);
  protocols::register_model_converter("quantize.grouped_mm.mx", build_grouped_mx_converter);
}

}  // namespace titan::components
