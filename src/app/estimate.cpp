#include "estimate.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sstream>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/forecast/forecast.h"
#include "titan/tools/logging.h"

namespace titan::app {

namespace {

void print(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) {
    throw RunError(concat("cannot write to standard output: ", std::strerror(errno)));
  }
}

config::JobConfig on_device(config::JobConfig config, at::DeviceType device) {
  config.training.device = device == at::kCPU ? config::Device::kCpu : config::Device::kCuda;
  return config;
}

}  // namespace

int estimate(const config::CommandLine& command) try {
  const forecast::Forecast forecast =
      forecast::make_forecast(command.config, command.world_size, /*alternatives=*/true);
  const std::string json = forecast::forecast_json(forecast);
  print(command.json ? json : forecast::forecast_table(forecast));
  if (command.output) {
    base::write_file_atomically(base::posix_file_system(), *command.output, json);
  }
  return 0;
} catch (const c10::Error& error) {
  throw RunError(error.what_without_backtrace());
}

void log_forecast(const config::JobConfig& config, std::int64_t world_size, at::DeviceType device) {
  const forecast::Forecast forecast =
      forecast::make_forecast(on_device(config, device), world_size, /*alternatives=*/true);
  std::istringstream lines(forecast::forecast_table(forecast));
  for (std::string line; std::getline(lines, line);) tools::log_info(line);
}

std::string out_of_memory_text(const c10::Error& error, const config::JobConfig& config,
                               std::int64_t world_size, at::DeviceType device, double peak_gib) {
  // The CPU's allocator has no exception of its own.
  const bool out_of_memory =
      dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
      error.msg().find("DefaultCPUAllocator: can't allocate memory") != std::string::npos;
  if (!out_of_memory) return {};
  constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
  try {
    const forecast::Forecast forecast =
        forecast::make_forecast(on_device(config, device), world_size, /*alternatives=*/true);
    return "\nOut of memory. " +
           forecast::forecast_text(forecast, static_cast<std::int64_t>(peak_gib * kGiB));
  } catch (const std::exception& failure) {
    return concat("\nOut of memory, and there is no forecast: ", failure.what());
  }
}

}  // namespace titan::app
