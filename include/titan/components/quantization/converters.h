#pragma once

namespace titan::components {

/// Registers the converters "quantize.linear.float8" and "quantize.linear.mx", and those of experts, "quantize.grouped_mm.float8"
/// and "quantize.grouped_mm.mx".
void register_quantization();

}  // namespace titan::components
