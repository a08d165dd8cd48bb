#pragma once

#include <memory>

#include "titan/protocols/model_converter.h"

namespace titan::components {

/// "quantize.linear.float8" (float8_converter.cpp).
std::unique_ptr<protocols::ModelConverter> build_float8_converter(const config::JobConfig& config,
                                                                  const comm::RankContext& context);
/// "quantize.linear.mx" (mx_converter.cpp).
std::unique_ptr<protocols::ModelConverter> build_mx_converter(const config::JobConfig& config,
                                                              const comm::RankContext& context);

}  // namespace titan::components
