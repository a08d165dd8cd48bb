#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "titan/forecast/forecast.h"

namespace titan::forecast {
namespace {

Forecast example() {
  constexpr std::int64_t kGiB = std::int64_t{1} << 30;
  Forecast forecast;
  forecast.model = "llama3";
  forecast.flavor = "8B";
  forecast.degrees.dp_shard = 64;
  forecast.world_size = 64;
  forecast.total_parameters = 8'030'261'248;
  forecast.local_batch_size = 2;
  forecast.seq_len = 8192;
  forecast.kernels = "gpu";
  forecast.memory = {{"selective", kGiB / 2, kGiB / 2, kGiB, 6 * kGiB, 10 * kGiB, 0, 18 * kGiB},
                     {"full", kGiB / 2, kGiB / 2, kGiB, 6 * kGiB, 100, 0, 8 * kGiB + 100}};
  forecast.alternatives = {{"activation_checkpoint.mode = \"full\"", 8 * kGiB + 100},
                           {"training.local_batch_size = 1", 13 * kGiB}};
  forecast.communication = {{"fsdp", "all_gather", 64, 67, 32 * kGiB, 31 * kGiB},
                            {"fsdp", "reduce_scatter", 64, 34, 1536, 1500}};
  return forecast;
}

TEST(ForecastText, TablesForPeople) {
  EXPECT_EQ(
      forecast_table(example()),
      R"(llama3 8B, 8,030,261,248 parameters, on 64 ranks: pp=1, dp_replicate=1, dp_shard=64, cp=1, tp=1, ep=1, etp=1
A rank's step: 1 x 2 x 8192 tokens, kernels of a GPU

Memory of a rank at the peak of a step
   activation checkpointing  parameters   gradients  optimizer state  communication  activations       peak
   selective (configured)    512.00 MiB  512.00 MiB         1.00 GiB       6.00 GiB    10.00 GiB  18.00 GiB
   full                      512.00 MiB  512.00 MiB         1.00 GiB       6.00 GiB        100 B   8.00 GiB

What would save memory
   change                                    peak
   activation_checkpoint.mode = "full"   8.00 GiB
   training.local_batch_size = 1        13.00 GiB

Communication of a rank in a step
   mesh  operation       ranks  calls    tensors  sent by a rank
   fsdp  all_gather         64     67  32.00 GiB       31.00 GiB
   fsdp  reduce_scatter     64     34   1.50 KiB        1.46 KiB
   all                                                 31.00 GiB
)");
}

TEST(ForecastText, OfATextThatRanksShareItSaysHowMuchARankHas) {
  Forecast forecast = example();
  forecast.degrees.cp = 4;
  EXPECT_NE(forecast_table(forecast).find(
                "1 x 2 x 8192 tokens, of which it has 2048 of each text, kernels of a GPU"),
            std::string::npos);
}

Forecast pipeline_example() {
  constexpr std::int64_t kMiB = 1 << 20;
  Forecast forecast = example();
  forecast.degrees.pp = 2;
  forecast.pipeline = {{{0, 3}, 4, {"full", kMiB, kMiB, 2 * kMiB, 3, 5, 0, 4 * kMiB + 8}, 7},
                       {{1, 2}, 3, {"full", kMiB, kMiB, 2 * kMiB, 4, 6, 0, 4 * kMiB + 10}, 9}};
  forecast.largest = 1;
  return forecast;
}

TEST(ForecastText, APipelinesRanksHaveARowEach) {
  const std::string table = forecast_table(pipeline_example());
  EXPECT_NE(table.find("Memory of rank 1 of the pipeline, which needs most, at the peak of a step"),
            std::string::npos);
  EXPECT_NE(table.find("Communication of rank 1 of the pipeline in a step"), std::string::npos);
  EXPECT_NE(table.find(R"(
Ranks of the pipeline, with the microbatches that they hold at most
   rank  stages  in flight  parameters  gradients  optimizer state  communication  activations      peak  sent
   0     0, 3            4    1.00 MiB   1.00 MiB         2.00 MiB            3 B          5 B  4.00 MiB   7 B
   1     1, 2            3    1.00 MiB   1.00 MiB         2.00 MiB            4 B          6 B  4.00 MiB   9 B
)"),
            std::string::npos)
      << table;
  const auto json = nlohmann::json::parse(forecast_json(pipeline_example()));
  EXPECT_EQ(json["largest_pipeline_rank"], 1);
  EXPECT_EQ(json["pipeline"][0]["stages"], (std::vector{0, 3}));
  EXPECT_EQ(json["pipeline"][1]["microbatches_in_flight"], 3);
  EXPECT_EQ(json["pipeline"][1]["bytes"]["activations"], 6);
  EXPECT_EQ(json["pipeline"][1]["sent_bytes"], 9);
}

TEST(ForecastText, OneRankSendsNothing) {
  Forecast forecast = example();
  forecast.communication.clear();
  EXPECT_NE(forecast_table(forecast).find("\nNothing is sent: there is one rank.\n"),
            std::string::npos);
}

TEST(ForecastText, OutOfMemoryNamesWhatHelps) {
  EXPECT_EQ(forecast_text(example(), std::int64_t{80} << 30),
            "Memory in use was 80.00 GiB; the forecast for a step is 18.00 GiB: parameters 512.00 "
            "MiB, gradients 512.00 MiB, optimizer state 1.00 GiB, communication 6.00 GiB, "
            "activations 10.00 GiB. It would be 8.00 GiB with activation_checkpoint.mode = "
            "\"full\"; 13.00 GiB with training.local_batch_size = 1.");
}

TEST(ForecastText, JsonHasEverythingInBytes) {
  const auto json = nlohmann::json::parse(forecast_json(example()));
  EXPECT_EQ(json["parameters"], 8'030'261'248);
  EXPECT_EQ(json["layout"]["dp_shard"], 64);
  EXPECT_EQ(json["bytes_per_rank"]["peak"], std::int64_t{18} << 30);
  EXPECT_EQ(json["by_activation_checkpoint"].size(), 2);
  EXPECT_EQ(json["by_activation_checkpoint"][1]["activations"], 100);
  EXPECT_EQ(json["alternatives"][1]["change"], "training.local_batch_size = 1");
  EXPECT_EQ(json["communication_per_step"][0]["operation"], "all_gather");
  EXPECT_EQ(json["communication_per_step"][0]["sent_bytes"], std::int64_t{31} << 30);
}

}  // namespace
}  // namespace titan::forecast
