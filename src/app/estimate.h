#pragma once

#include <c10/core/DeviceType.h>
#include <c10/util/Exception.h>

#include <string>

#include "titan/config/command_line.h"

namespace titan::app {

/// Forecasts a step of rank 0: tables, or JSON, on standard output; with `output`, JSON there and
/// tables on standard output. Returns 0.
int estimate(const config::CommandLine& command);

/// Logs what a step of the job needs where it runs on a device of this type.
void log_forecast(const config::JobConfig& config, std::int64_t world_size, at::DeviceType device);

/// What to add to the allocator's own words when memory ran out: the forecast beside the most that was
/// in use, and what would help. Empty for errors of other kinds. Call it when the trainer is gone.
std::string out_of_memory_text(const c10::Error& error, const config::JobConfig& config,
                               std::int64_t world_size, at::DeviceType device, double peak_gib);

}  // namespace titan::app
