#include "titan/forecast/forecast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/base/errors.h"
#include "unit/forecast/forecast_job.h"

namespace titan::forecast {
namespace {

using config::ActivationCheckpointMode;
using testing::HasSubstr;

/// Elements on rank 0, and on all ranks with padding, when dimension 0 is cut for `ranks`.
struct Sharded {
  std::int64_t mine = 0;
  std::int64_t padded = 0;
  std::int64_t tensors = 0;
};

Sharded sharded(const config::JobConfig& config, std::int64_t ranks) {
  const auto args = protocols::get_model_args(config.model.name, config.model.flavor);
  args->update_from_config(config);
  const auto model = protocols::get_train_spec(config.model.name).build_model(*args, at::kFloat);
  Sharded sum;
  for (const nn::NamedParameter& parameter : model->named_parameters()) {
    const std::int64_t rows = parameter.tensor().size(0);
    const std::int64_t chunk = (rows + ranks - 1) / ranks * (parameter.tensor().numel() / rows);
    sum.mine += chunk;
    sum.padded += chunk * ranks;
    ++sum.tensors;
  }
  return sum;
}

const Communication& find(const Forecast& forecast, const std::string& operation) {
  for (const Communication& sum : forecast.communication) {
    if (sum.operation == operation) return sum;
  }
  throw std::runtime_error("no " + operation);
}

TEST(Forecast, ShardedStateIsExact) {
  const config::JobConfig config = test::debug_job();
  constexpr std::int64_t kTable = 256 * 8 * 8;  // rotary: seq_len x half a head, complex
  for (const std::int64_t ranks : {1, 2, 3, 7, 64, 1000}) {
    const Sharded expected = sharded(config, ranks);
    const MemoryFigures memory = make_forecast(config, ranks, false).memory.front();
    EXPECT_EQ(memory.parameters, 4 * expected.mine + kTable) << ranks;
    EXPECT_EQ(memory.gradients, 4 * expected.mine) << ranks;
    EXPECT_EQ(memory.optimizer_state, 8 * expected.mine + 4 * expected.tensors) << ranks;
  }
}

TEST(Forecast, WhatIsSentIsThePaddedShards) {
  const config::JobConfig config = test::debug_job();
  for (const std::int64_t ranks : {2, 3, 64}) {
    const Communication scattered = find(make_forecast(config, ranks, false), "reduce_scatter");
    EXPECT_EQ(scattered.mesh, "fsdp");
    EXPECT_EQ(scattered.ranks, ranks);
    EXPECT_EQ(scattered.calls, 8) << "embedding, six layers, norm with output";
    EXPECT_EQ(scattered.tensor_bytes, 4 * sharded(config, ranks).padded);
    EXPECT_EQ(scattered.sent_bytes, scattered.tensor_bytes / ranks * (ranks - 1));
  }
}

TEST(Forecast, ReshardingCostsAGatherPerLayer) {
  config::JobConfig config = test::debug_job();
  const auto gathers = [&](config::ReshardAfterForward policy) {
    config.parallelism.fsdp_reshard_after_forward = policy;
    return find(make_forecast(config, 4, false), "all_gather").calls;
  };
  EXPECT_EQ(gathers(config::ReshardAfterForward::kNever), 8);
  EXPECT_EQ(gathers(config::ReshardAfterForward::kDefault), 15);
  EXPECT_EQ(gathers(config::ReshardAfterForward::kAlways), 16);
}

TEST(Forecast, ReplicasOfShardsReduceShards) {
  config::JobConfig config = test::debug_job();
  config.parallelism.data_parallel_replicate_degree = 4;
  const Forecast forecast = make_forecast(config, 8, false);
  const Communication& reduced = find(forecast, "all_reduce");
  EXPECT_EQ(reduced.mesh, "dp_replicate");
  EXPECT_EQ(reduced.ranks, 4);
  EXPECT_EQ(reduced.tensor_bytes, 4 * sharded(config, 2).mine);
  EXPECT_EQ(find(forecast, "reduce_scatter").ranks, 2);
}

TEST(Forecast, ReplicasAloneReduceEverything) {
  config::JobConfig config = test::debug_job();
  config.parallelism.data_parallel_replicate_degree = 4;
  const Forecast forecast = make_forecast(config, 4, false);
  const Sharded whole = sharded(config, 1);
  EXPECT_EQ(find(forecast, "all_reduce").tensor_bytes, 4 * (whole.mine + whole.tensors))
      << "and who has a gradient";
  EXPECT_EQ(forecast.memory.front().gradients, 4 * sharded(config, 1).mine);
}

TEST(Forecast, CheckpointingTradesActivations) {
  config::JobConfig config = test::debug_job();
  config.activation_checkpoint.mode = ActivationCheckpointMode::kSelective;
  const Forecast forecast = make_forecast(config, 1, true);
  ASSERT_EQ(forecast.memory.size(), 3u);
  EXPECT_EQ(forecast.memory[0].activation_checkpoint, "selective");
  EXPECT_EQ(forecast.memory[1].activation_checkpoint, "none");
  EXPECT_EQ(forecast.memory[2].activation_checkpoint, "full");
  EXPECT_GT(forecast.memory[1].activations, forecast.memory[0].activations);
  EXPECT_GT(forecast.memory[0].activations, forecast.memory[2].activations);
}

TEST(Forecast, AMemoryBudgetLeadsFromFullToNone) {
  config::JobConfig config = test::debug_job();
  config.compile.enable = true;
  for (const auto device : {config::Device::kCpu, config::Device::kAuto}) {
    config.training.device = device;
    config.activation_checkpoint.mode = ActivationCheckpointMode::kNone;
    const Forecast modes = make_forecast(config, 1, true);
    ASSERT_EQ(modes.memory.size(), 4u);
    EXPECT_EQ(modes.memory[2].activation_checkpoint, "full");
    EXPECT_EQ(modes.memory[3].activation_checkpoint, "memory_budget");
    const std::int64_t none = modes.memory[0].activations;
    const std::int64_t full = modes.memory[2].activations;
    config.activation_checkpoint.mode = ActivationCheckpointMode::kMemoryBudget;
    std::int64_t last = full;
    for (const double budget : {0.0, 0.25, 0.5, 0.75, 1.0}) {
      config.activation_checkpoint.memory_budget = budget;
      const std::int64_t activations = make_forecast(config, 1, false).memory.front().activations;
      const double straight = static_cast<double>(full) + budget * static_cast<double>(none - full);
      EXPECT_GE(activations, last) << budget;
      EXPECT_LE(static_cast<double>(activations), 1.05 * straight) << budget;
      last = activations;
    }
    EXPECT_EQ(last, none);
  }
}

TEST(Forecast, AlternativesSaveMemoryAndTheBestComesFirst) {
  const Forecast forecast = make_forecast(test::debug_job(), 4, true);
  ASSERT_FALSE(forecast.alternatives.empty());
  std::int64_t last = 0;
  for (const Alternative& other : forecast.alternatives) {
    EXPECT_LT(other.peak, forecast.memory.front().peak) << other.change;
    EXPECT_GE(other.peak, last) << other.change;
    last = other.peak;
  }
}

TEST(Forecast, LogitsInPartsAreAnAlternativeToWholeOnes) {
  constexpr const char* kInParts = "parallelism.disable_loss_parallel = false";
  config::JobConfig config = test::debug_job(1, 4);
  config.activation_checkpoint.mode = ActivationCheckpointMode::kFull;
  const Forecast parts = make_forecast(config, 4, true);
  EXPECT_EQ(std::ranges::count(parts.alternatives, kInParts, &Alternative::change), 0);
  config.parallelism.disable_loss_parallel = true;
  const Forecast whole = make_forecast(config, 4, true);
  const auto offered = std::ranges::find(whole.alternatives, kInParts, &Alternative::change);
  ASSERT_NE(offered, whole.alternatives.end());
  EXPECT_EQ(offered->peak, parts.memory.front().peak);
}

TEST(Forecast, TensorParallelRanksHoldTheirPart) {
  const MemoryFigures one = make_forecast(test::debug_job(1, 1), 1, false).memory.front();
  for (const std::int64_t degree : {2, 4, 8}) {
    const MemoryFigures memory =
        make_forecast(test::debug_job(1, degree), degree, false).memory.front();
    // Norm weights are whole: 13 of 256 numbers.
    const std::int64_t norms = 4 * 13 * 256;
    EXPECT_EQ(memory.gradients - norms, (one.gradients - norms) / degree);
    const MemoryFigures sharded =
        make_forecast(test::debug_job(2, degree), 2 * degree, false).memory.front();
    EXPECT_EQ(sharded.gradients, memory.gradients / 2);
  }
}

TEST(Forecast, OtherPartsOfAPeakAddUp) {
  for (const std::int64_t ranks : {1, 4}) {
    const MemoryFigures m = make_forecast(test::debug_job(), ranks, false).memory.front();
    EXPECT_EQ(
        m.parameters + m.gradients + m.optimizer_state + m.communication_buffers + m.activations,
        m.peak);
    EXPECT_EQ(m.communication_buffers > 0, ranks > 1);
  }
}

TEST(Forecast, MicrobatchesAddCommunicationOnly) {
  config::JobConfig config = test::debug_job();
  const Forecast one = make_forecast(config, 2, false);
  config.training.global_batch_size = 4 * config.training.local_batch_size * 2;
  const Forecast four = make_forecast(config, 2, false);
  EXPECT_EQ(four.microbatches, 4);
  EXPECT_EQ(find(four, "all_gather").calls, 4 * find(one, "all_gather").calls);
  EXPECT_EQ(four.memory.front().parameters, one.memory.front().parameters);
}

config::JobConfig pipeline_job(const std::string& schedule, std::int64_t ranks,
                               std::int64_t microbatches) {
  config::JobConfig config = test::debug_job();
  config.parallelism.pipeline_parallel_degree = ranks;
  config.parallelism.pipeline_parallel_schedule = schedule;
  config.training.local_batch_size = microbatches;
  return config;
}

TEST(Forecast, EveryRankOfAPipelineHasItsOwn) {
  const Forecast forecast = make_forecast(pipeline_job("1F1B", 4, 8), 4, false);
  ASSERT_EQ(forecast.pipeline.size(), 4u);
  std::int64_t gradients = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const PipelineRank& rank = forecast.pipeline[i];
    EXPECT_THAT(rank.stages, testing::ElementsAre(i));
    EXPECT_EQ(rank.in_flight, 4 - static_cast<std::int64_t>(i));
    EXPECT_GT(rank.sent_bytes, 0);
    EXPECT_LE(rank.memory.peak, forecast.memory.front().peak);
    gradients += rank.memory.gradients;
  }
  EXPECT_EQ(gradients, 4 * forecast.total_parameters);
  EXPECT_EQ(forecast.pipeline[forecast.largest].memory.peak, forecast.memory.front().peak);
  EXPECT_TRUE(make_forecast(test::debug_job(), 4, false).pipeline.empty());
}

TEST(Forecast, BothEndsOfAVAreRankZeros) {
  const Forecast forecast = make_forecast(pipeline_job("ZBVZeroBubble", 2, 4), 2, false);
  ASSERT_EQ(forecast.pipeline.size(), 2u);
  EXPECT_THAT(forecast.pipeline[0].stages, testing::ElementsAre(0, 3));
  EXPECT_THAT(forecast.pipeline[1].stages, testing::ElementsAre(1, 2));
  EXPECT_EQ(forecast.pipeline[0].in_flight, 4);
}

TEST(Forecast, MicrobatchesInFlightAreWhatOneHoldsAndMore) {
  const auto activations = [](const std::string& schedule, std::int64_t microbatches) {
    return make_forecast(pipeline_job(schedule, 2, microbatches), 2, false)
        .pipeline.front()
        .memory.activations;
  };
  // 1F1B holds two, however many there are; GPipe holds all.
  const std::int64_t few = activations("1F1B", 4);
  EXPECT_NEAR(static_cast<double>(activations("1F1B", 16)), static_cast<double>(few), 0.1 * few);
  const std::int64_t two = activations("GPipe", 2), four = activations("GPipe", 4);
  EXPECT_NEAR(static_cast<double>(activations("GPipe", 8) - four), 2.0 * (four - two), 0.1 * few);
}

TEST(Forecast, WhatWasSentIsNotHeldOnceItsGradientIsBack) {
  const auto sent = [](std::int64_t microbatches) {
    return make_forecast(pipeline_job("1F1B", 2, microbatches), 2, false)
        .pipeline.front()
        .memory.communication_buffers;
  };
  EXPECT_GT(sent(4), 0);
  EXPECT_EQ(sent(16), sent(4));
}

TEST(Forecast, AlternativesThatAScheduleRefusesAreNotOffered) {
  const Forecast forecast = make_forecast(pipeline_job("1F1B", 4, 4), 4, true);
  EXPECT_EQ(std::ranges::count(forecast.alternatives, "training.local_batch_size = 2",
                               &Alternative::change),
            0);
  EXPECT_FALSE(forecast.alternatives.empty());
  const Forecast more = make_forecast(pipeline_job("1F1B", 4, 8), 4, true);
  EXPECT_EQ(
      std::ranges::count(more.alternatives, "training.local_batch_size = 4", &Alternative::change),
      1);
}

TEST(Forecast, AGpuKeepsLessOfNorms) {
  config::JobConfig config = test::debug_job();
  config.activation_checkpoint.mode = ActivationCheckpointMode::kNone;
  const MemoryFigures cpu = make_forecast(config, 1, false).memory.front();
  config.training.device = config::Device::kAuto;
  const MemoryFigures gpu = make_forecast(config, 1, false).memory.front();
  EXPECT_LT(gpu.activations, cpu.activations);
  EXPECT_EQ(gpu.parameters, cpu.parameters);
}

TEST(Forecast, AGpuPacksDocumentsInsteadOfMaskingThem) {
  config::JobConfig config = test::debug_job();
  config.training.device = config::Device::kAuto;
  config.training.mixed_precision_param = config::DType::kBFloat16;
  config.training.seq_len = 2048;
  const std::int64_t mask = 2 * 2048 * 2048;  // rows x queries x keys
  for (const std::int64_t ranks : {1, 4}) {
    for (const auto mode :
         {ActivationCheckpointMode::kNone, ActivationCheckpointMode::kSelective}) {
      config.activation_checkpoint.mode = mode;
      config.activation_checkpoint.selective_ac_option = "op";
      config.model.flavor = "debugmodel";
      const MemoryFigures causal = make_forecast(config, ranks, false).memory.front();
      for (const char* flavor : {"debugmodel_flex_attn", "debugmodel_varlen_attn"}) {
        config.model.flavor = flavor;
        const MemoryFigures packed = make_forecast(config, ranks, false).memory.front();
        EXPECT_EQ(packed.parameters, causal.parameters);
        EXPECT_NEAR(packed.activations, causal.activations, mask / 10) << flavor;
      }
    }
  }
  // fp32 is masked, on a GPU as well.
  config.training.mixed_precision_param = config::DType::kFloat32;
  const std::int64_t masked = make_forecast(config, 1, false).memory.front().activations;
  config.model.flavor = "debugmodel";
  EXPECT_GT(masked, make_forecast(config, 1, false).memory.front().activations + mask);
}

TEST(Forecast, OffloadedStateIsTheHosts) {
  config::JobConfig config = test::debug_job();
  config.training.device = config::Device::kAuto;
  const MemoryFigures kept = make_forecast(config, 4, false).memory.front();
  config.training.enable_cpu_offload = true;
  const MemoryFigures offloaded = make_forecast(config, 4, false).memory.front();
  EXPECT_EQ(kept.host, 0);
  EXPECT_EQ(offloaded.host, offloaded.parameters + offloaded.gradients + offloaded.optimizer_state);
  EXPECT_EQ(offloaded.communication_buffers + offloaded.activations, offloaded.peak);
  EXPECT_LT(offloaded.peak, kept.peak);
}

TEST(Forecast, LayoutsThatDoNotFitAreRefused) {
  config::JobConfig config = test::debug_job();
  config.parallelism.data_parallel_shard_degree = 3;
  EXPECT_THROW(make_forecast(config, 4, false), ConfigError);
}

}  // namespace
}  // namespace titan::forecast
