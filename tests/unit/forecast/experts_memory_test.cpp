// The forecast against what real training steps of models with experts allocate.
#include <gtest/gtest.h>

#include <cstdlib>

#include "titan/base/errors.h"
#include "titan/forecast/forecast.h"
#include "unit/forecast/forecast_job.h"
#include "unit/forecast/measured_peak.h"

namespace titan::forecast {
namespace {

using config::ActivationCheckpointMode;

struct ExpertsJob {
  std::string model;
  std::string flavor;
  mesh::Degrees degrees = {.dp_shard = 1};
  std::int64_t ranks = 1;
  ActivationCheckpointMode mode = ActivationCheckpointMode::kNone;
  bool is_nightly = false;
};

class ExpertsForecastAndMeasurement : public testing::TestWithParam<ExpertsJob> {};

TEST_P(ExpertsForecastAndMeasurement, DifferByLessThanATenth) {
  const ExpertsJob& job = GetParam();
  const char* asked = std::getenv("TITAN_EXPERT_MATRIX");
  if (job.is_nightly && (asked == nullptr || std::string(asked) != "full")) {
    GTEST_SKIP() << "only with TITAN_EXPERT_MATRIX=full";
  }
  config::JobConfig config = test::debug_job(job.degrees.dp_shard, job.degrees.tp);
  config.model.name = job.model;
  config.model.flavor = job.flavor;
  config.parallelism.expert_parallel_degree = job.degrees.ep;
  config.parallelism.expert_tensor_parallel_degree = job.degrees.etp;
  config.activation_checkpoint.mode = job.mode;
  const std::int64_t measured = test::measured_on_ranks(config, job.ranks);
  const std::int64_t forecast = make_forecast(config, job.ranks, false).memory.front().peak;
  RecordProperty("forecast", std::to_string(forecast));
  RecordProperty("measured", std::to_string(measured));
  // Of several ranks each has the rows that its experts are chosen by, not as many as the others.
  const double tolerance = job.ranks == 1 ? 0.02 : 0.1;
  EXPECT_NEAR(static_cast<double>(forecast) / static_cast<double>(measured), 1.0, tolerance)
      << "forecast " << forecast << ", measured " << measured;
}

using enum ActivationCheckpointMode;
constexpr mesh::Degrees kOne = {.dp_shard = 1};
constexpr mesh::Degrees kShared = {.dp_shard = 2, .ep = 2};
constexpr mesh::Degrees kCut = {.dp_shard = 2, .tp = 2, .ep = 2, .etp = 2};
ExpertsJob only_nightly(ExpertsJob job) {
  job.is_nightly = true;
  return job;
}
INSTANTIATE_TEST_SUITE_P(
    Models, ExpertsForecastAndMeasurement,
    testing::Values(ExpertsJob{"deepseek_v3", "debugmodel"},
                    ExpertsJob{"deepseek_v3", "debugmodel", kShared, 2},
                    ExpertsJob{"llama4", "debugmodel"},
                    ExpertsJob{"llama4", "debugmodel", kShared, 2, kSelective},
                    ExpertsJob{"qwen3", "small_moe"}, ExpertsJob{"qwen3", "small_moe", kShared, 2},
                    only_nightly({"deepseek_v3", "debugmodel", kOne, 1, kSelective}),
                    only_nightly({"deepseek_v3", "debugmodel", kCut, 4, kFull}),
                    only_nightly({"llama4", "debugmodel", kOne, 1, kFull}),
                    only_nightly({"qwen3", "small_moe", kOne, 1, kSelective}),
                    only_nightly({"qwen3", "debugmodel_moe"}),
                    only_nightly({"qwen3", "debugmodel_moe", kShared, 2})),
    [](const auto& test) {
      const ExpertsJob& job = test.param;
      return concat(job.model, "_", job.flavor, "_", job.ranks, "_ranks_",
                    static_cast<int>(job.mode));
    });

}  // namespace
}  // namespace titan::forecast
