#pragma once

#include "titan/config/command_line.h"

namespace titan::app {

/// Forecasts a step of rank 0: tables, or JSON, on standard output; with `output`, JSON there and
/// tables on standard output. Returns 0.
int estimate(const config::CommandLine& command);

/// Logs the forecast of a job whose other ranks are pretended.
void log_forecast(const config::JobConfig& config, std::int64_t world_size);

}  // namespace titan::app
