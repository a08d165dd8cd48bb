// Actions of a pipeline that are booked come to what they would have come to.
#include <gtest/gtest.h>

#include "forecast/step_simulation.h"
#include "titan/base/errors.h"
#include "unit/forecast/forecast_job.h"

namespace titan::forecast {
namespace {

using config::ActivationCheckpointMode;

struct Job {
  std::string schedule;
  std::int64_t microbatches;
  mesh::Degrees degrees;
  std::int64_t ranks;
  ActivationCheckpointMode mode = ActivationCheckpointMode::kNone;
  std::int64_t accumulated = 1;
  config::ReshardAfterForward reshards = config::ReshardAfterForward::kDefault;
  std::string flavor = "debugmodel";
};

/// All that is counted, and not measured at one moment. Messages by their bytes: those that are run share exchanges.
std::string text_of(const SimulatedStep& step) {
  const MemoryFigures& memory = step.memory;
  std::string text =
      concat(memory.parameters, " ", memory.gradients, " ", memory.optimizer_state, "\n");
  std::int64_t messages = 0;
  for (const Communication& sum : step.communication) {
    const bool is_message =
        sum.operation == "send" || sum.operation == "receive" || sum.operation == "exchange";
    if (is_message) {
      messages += sum.sent_bytes;
    } else {
      text += concat(sum.mesh, " ", sum.operation, " ", sum.calls, " ", sum.tensor_bytes, " ",
                     sum.sent_bytes, "\n");
    }
  }
  text += concat("messages ", messages, "\n");
  for (const PlannedModules& line : step.tensor_plan.lines) {
    text += concat(line.modules, " ", line.sent.forward, " ", line.sent.again, " ",
                   line.sent.backward, "\n");
  }
  for (const SentElsewhere& sent : step.tensor_plan.elsewhere) {
    text += concat(sent.where, " ", sent.sent, "\n");
  }
  return text;
}

class RepeatedActions : public testing::TestWithParam<Job> {};

TEST_P(RepeatedActions, ComeToWhatTheyWouldIfTheyWereRun) {
  const Job& job = GetParam();
  config::JobConfig config = test::debug_job(job.degrees.dp_shard, job.degrees.tp);
  config.parallelism.data_parallel_replicate_degree = job.degrees.dp_replicate;
  config.parallelism.pipeline_parallel_degree = job.degrees.pp;
  config.parallelism.pipeline_parallel_schedule = job.schedule;
  config.parallelism.fsdp_reshard_after_forward = job.reshards;
  config.training.local_batch_size = job.microbatches;
  config.training.seq_len = 64;
  config.activation_checkpoint.mode = job.mode;
  config.activation_checkpoint.selective_ac_option = "op";
  config.model.flavor = job.flavor;
  const mesh::ParallelDims dims(config.parallelism.degrees(), job.ranks);
  for (const config::Device device : {config::Device::kCpu, config::Device::kAuto}) {
    config.training.device = device;
    for (const std::int64_t rank : dims.ranks(mesh::MeshDim::kPp, 0)) {
      const auto simulated = [&](Repetition repetition) {
        return simulate_step(config, dims, job.accumulated, rank, repetition);
      };
      const SimulatedStep booked = simulated(Repetition::kBooked);
      const SimulatedStep run = simulated(Repetition::kRun);
      EXPECT_EQ(text_of(booked), text_of(run)) << "rank " << rank;
      // Messages of one exchange are let go of together: the peak differs by a few of them.
      EXPECT_NEAR(static_cast<double>(booked.memory.peak) / static_cast<double>(run.memory.peak), 1,
                  0.01)
          << "rank " << rank;
    }
  }
}

constexpr mesh::Degrees kTwo = {.dp_shard = 1, .pp = 2};
using enum ActivationCheckpointMode;
INSTANTIATE_TEST_SUITE_P(
    Jobs, RepeatedActions,
    testing::Values(
        Job{"1F1B", 8, kTwo, 2}, Job{"1F1B", 6, {.dp_shard = 1, .pp = 4}, 4, kFull},
        Job{"GPipe", 5, kTwo, 2}, Job{"Interleaved1F1B", 6, kTwo, 2}, Job{"LoopedBFS", 6, kTwo, 2},
        Job{"InterleavedZeroBubble", 6, kTwo, 2, kFull}, Job{"ZBVZeroBubble", 8, kTwo, 2},
        Job{"ZBVZeroBubble", 6, kTwo, 2, kSelective}, Job{"DualPipeV", 8, kTwo, 2},
        Job{"1F1B", 6, {.dp_shard = 2, .tp = 2, .pp = 2}, 8, kNone, 5},
        Job{"ZBVZeroBubble", 6, {.dp_shard = 2, .pp = 2}, 4},
        Job{"1F1B", 6, {.dp_replicate = 2, .dp_shard = 1, .pp = 2}, 4, kNone, 2},
        Job{"1F1B", 6, {.dp_replicate = 2, .dp_shard = 2, .pp = 2}, 8, kFull},
        Job{"1F1B", 6, {.dp_shard = 2, .pp = 2}, 4, kNone, 1, config::ReshardAfterForward::kAlways},
        Job{"ZBVZeroBubble",
            6,
            {.dp_shard = 1, .tp = 2, .pp = 2},
            4,
            kNone,
            1,
            config::ReshardAfterForward::kDefault,
            "tiny_tied"}));

}  // namespace
}  // namespace titan::forecast
