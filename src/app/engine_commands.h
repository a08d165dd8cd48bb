#pragma once

#include "titan/config/command_line.h"
#include "titan/schedule/schedule.h"
#include "titan/tools/startup_times.h"

namespace titan::app {

// What the engine's methods of these names do; a file of its own for each, forecasts share one.

int train(const config::CommandLine& command, tools::StartupTimes& startup_times);
int profile(const config::CommandLine& command, tools::StartupTimes& startup_times);
int tokenize(const config::CommandLine& command);
int generate(const config::CommandLine& command);
int convert(const config::CommandLine& command);
int estimate(const config::CommandLine& command);
int show_plan(const config::CommandLine& command);
schedule::Schedule job_schedule(const config::JobConfig& config);
config::Problems model_problems(const config::JobConfig& config, const config::Origins& origins,
                                std::int64_t world_size);
config::LayoutFits model_layouts(const config::JobConfig& config);

}  // namespace titan::app
