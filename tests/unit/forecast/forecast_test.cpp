#include "titan/forecast/forecast.h"

#include <gtest/gtest.h>

#include <chrono>

#include "forecast_job.h"

namespace titan::forecast {
namespace {

TEST(Forecast, Try) {
  config::JobConfig config = test::debug_job();
  config.model.flavor = getenv("FLAVOR") ? getenv("FLAVOR") : "debugmodel";
  if (getenv("GPU")) {
    config.training.device = config::Device::kAuto;
    config.training.mixed_precision_param = config::DType::kBFloat16;
    config.training.seq_len = 8192;
  }

  const auto start = std::chrono::steady_clock::now();
  const Forecast f = make_forecast(config, getenv("RANKS") ? std::atoi(getenv("RANKS")) : 1, true);
  std::printf("%s\n%s\n%s", forecast_table(f).c_str(), forecast_text(f, 1L << 35).c_str(),
              getenv("JSON") ? forecast_json(f).c_str() : "");
  std::printf("%f s\n",
              std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace
}  // namespace titan::forecast
