// The tensor-parallel plan as `--show-plan` prints it.
#include <gtest/gtest.h>

#include <numeric>

#include "titan/forecast/forecast.h"
#include "unit/forecast/forecast_job.h"

namespace titan::forecast {
namespace {

using config::ActivationCheckpointMode;

const PlannedModules& line_of(const Forecast& forecast, const std::string& modules) {
  const auto& lines = forecast.tensor_plan.lines;
  const auto found = std::ranges::find(lines, modules, &PlannedModules::modules);
  if (found == lines.end()) throw std::runtime_error("no line for " + modules);
  return *found;
}

/// Bytes over the ranks of `tp` as the plan's lines have them, and as the forecast's tables do.
std::pair<std::int64_t, std::int64_t> sent_over_tp(const Forecast& forecast) {
  std::int64_t lines = 0;
  for (const PlannedModules& line : forecast.tensor_plan.lines) lines += line.sent.total();
  for (const SentElsewhere& other : forecast.tensor_plan.elsewhere) lines += other.sent;
  std::int64_t tables = 0;
  for (const Communication& sum : forecast.communication) {
    if (sum.mesh == "tp") tables += sum.sent_bytes;
  }
  return {lines, tables};
}

constexpr std::int64_t kTokens = 2 * 256;
constexpr std::int64_t kDim = 256;
constexpr std::int64_t kLayers = 6;
/// Of all tokens' activations in fp32, what a rank of two sends to gather them, or to sum them.
constexpr std::int64_t kGathered = 4 * kTokens * kDim / 2;

config::JobConfig job(std::int64_t shard, std::int64_t tensor,
                      ActivationCheckpointMode mode = ActivationCheckpointMode::kNone) {
  config::JobConfig config = test::debug_job(shard, tensor);
  config.activation_checkpoint.mode = mode;
  return config;
}

TEST(TensorPlan, ALineHasWhatItsModulesSend) {
  const Forecast forecast = make_forecast(job(1, 2), 2, false);
  for (const char* gathers : {"layers.*.attention", "layers.*.feed_forward"}) {
    const PlannedModules& line = line_of(forecast, gathers);
    EXPECT_EQ(line.count, kLayers);
    EXPECT_EQ(line.style, "PrepareInput");
    EXPECT_TRUE(line.parameters.empty());
    EXPECT_EQ(line.forward, std::vector<std::string>{"in: all-gather of dimension 1"});
    EXPECT_EQ(line.backward, std::vector<std::string>{"in: reduce-scatter of dimension 1"});
    EXPECT_EQ(line.sent.forward, kLayers * kGathered);
    EXPECT_EQ(line.sent.backward, kLayers * kGathered);
    EXPECT_EQ(line.sent.again, 0);
  }
  for (const char* scatters :
       {"tok_embeddings", "layers.*.attention.wo", "layers.*.feed_forward.w2"}) {
    const PlannedModules& line = line_of(forecast, scatters);
    EXPECT_EQ(line.forward, std::vector<std::string>{"out: reduce-scatter of dimension 1"});
    EXPECT_EQ(line.sent.forward, line.count * kGathered) << scatters;
    EXPECT_EQ(line.sent.backward, line.count * kGathered) << scatters;
  }
  EXPECT_EQ(line_of(forecast, "output").sent.total(), 2 * kGathered);
  EXPECT_EQ(line_of(forecast, "layers.*.attention.wq").sent.total(), 0);
}

TEST(TensorPlan, ParametersAreCutByTheirStyleThenByFsdp) {
  const Forecast forecast = make_forecast(job(2, 2), 4, false);
  const auto weight = [&](const char* modules) {
    return line_of(forecast, modules).parameters.at(0);
  };
  EXPECT_EQ(weight("layers.*.attention.wq"),
            (PlannedParameter{"weight", {256, 256}, {128, 256}, {64, 256}}));
  EXPECT_EQ(weight("layers.*.attention.wo"),
            (PlannedParameter{"weight", {256, 256}, {256, 128}, {128, 128}}));
  EXPECT_EQ(weight("norm"), (PlannedParameter{"weight", {256}, {256}, {128}}));
}

TEST(TensorPlan, EveryByteIsSentSomewhere) {
  for (const auto mode : {ActivationCheckpointMode::kNone, ActivationCheckpointMode::kSelective,
                          ActivationCheckpointMode::kFull}) {
    for (const auto& [shard, tensor] : {std::pair(1, 2), {1, 4}, {2, 2}, {3, 8}}) {
      for (const bool overlaps : {false, true}) {
        for (const std::int64_t microbatches : {1, 5}) {
          const bool whole_logits = microbatches == 5;
          config::JobConfig config = job(shard, tensor, mode);
          config.parallelism.disable_loss_parallel = whole_logits;
          config.parallelism.enable_async_tensor_parallel = overlaps;
          config.training.global_batch_size = 2 * shard * microbatches;
          const Forecast forecast = make_forecast(config, shard * tensor, false);
          const auto [lines, tables] = sent_over_tp(forecast);
          EXPECT_EQ(lines, tables) << shard << " " << tensor << " " << microbatches;
          EXPECT_EQ(line_of(forecast, "output").sent.again, 0);
          EXPECT_GT(line_of(forecast, "output").sent.backward, 0);
          const auto& elsewhere = forecast.tensor_plan.elsewhere;
          EXPECT_EQ(std::ranges::count(elsewhere, "loss", &SentElsewhere::where),
                    whole_logits ? 0 : 1);
          EXPECT_EQ(
              std::ranges::count(elsewhere, "backward of other layers", &SentElsewhere::where), 0);
        }
      }
    }
  }
}

TEST(TensorPlan, WhatRunsAgainSendsAgain) {
  const Forecast kept = make_forecast(job(1, 2), 2, false);
  const Forecast again = make_forecast(job(1, 2, ActivationCheckpointMode::kFull), 2, false);
  const PlannedModules& line = line_of(again, "layers.*.attention");
  EXPECT_EQ(line.sent.again, line.sent.forward);
  EXPECT_EQ(line.sent.forward, line_of(kept, "layers.*.attention").sent.forward);
  EXPECT_EQ(line.sent.backward, line_of(kept, "layers.*.attention").sent.backward);
  EXPECT_EQ(line_of(again, "tok_embeddings").sent.again, 0);
}

TEST(TensorPlan, OverlappedTransfersAreSaidToBe) {
  config::JobConfig config = job(1, 2);
  config.parallelism.enable_async_tensor_parallel = true;
  const Forecast forecast = make_forecast(config, 2, false);
  const PlannedModules& line = line_of(forecast, "layers.*.attention");
  EXPECT_EQ(line.forward, std::vector<std::string>{"in: all-gather of dimension 1, overlapped"});
  EXPECT_EQ(line.sent.forward, kLayers * kGathered);
  EXPECT_EQ(line.sent.backward, kLayers * kGathered);
}

TEST(TensorPlan, MicrobatchesSendWhatTheyMust) {
  config::JobConfig config = job(1, 2);
  config.training.global_batch_size = 2 * 5;
  const Forecast five = make_forecast(config, 2, false);
  EXPECT_EQ(line_of(five, "layers.*.attention").sent.forward, 5 * kLayers * kGathered);
  EXPECT_EQ(line_of(five, "layers.*.attention").sent.backward, 5 * kLayers * kGathered);
}

TEST(TensorPlan, OneRankHasNone) {
  const Forecast forecast = make_forecast(job(2, 1), 2, false);
  EXPECT_TRUE(forecast.tensor_plan.lines.empty());
  EXPECT_NE(plan_table(forecast).find("There is no tensor-parallel plan"), std::string::npos);
}

}  // namespace
}  // namespace titan::forecast
