#pragma once

#include <memory>

#include "titan/protocols/model_converter.h"

namespace titan::components {

/// "quantize.grouped_mm.float8".
std::unique_ptr<protocols::ModelConverter> build_grouped_float8_converter(
    const config::JobConfig& config, const comm::RankContext& context);
/// "quantize.grouped_mm.mx".
std::unique_ptr<protocols::ModelConverter> build_grouped_mx_converter(
    const config::JobConfig& config, const comm::RankContext& context);

}  // namespace titan::components
