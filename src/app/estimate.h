#pragma once

#include <string>

#include "app/hardware.h"
#include "titan/config/job_config.h"
#include "titan/forecast/forecast.h"

namespace titan::app {

/// Logs the forecast of a job whose other ranks are pretended, and returns it.
forecast::Forecast log_forecast(const config::JobConfig& config, std::int64_t world_size);

/// Why `hardware` should not run a step of the job with real numbers; empty when it can. One that takes
/// minutes is an obstacle unless it `may_take_long`.
std::string obstacle_to_a_step(const forecast::Forecast& forecast, const Hardware& hardware,
                               bool may_take_long);

}  // namespace titan::app
