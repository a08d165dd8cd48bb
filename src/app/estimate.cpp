#include "estimate.h"

#include <c10/util/Exception.h>

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

void log_forecast(const config::JobConfig& config, std::int64_t world_size) {
  const forecast::Forecast forecast =
      forecast::make_forecast(config, world_size, /*alternatives=*/true);
  std::istringstream lines(forecast::forecast_table(forecast));
  for (std::string line; std::getline(lines, line);) tools::log_info(line);
}

}  // namespace titan::app
