// Whole jobs of the trainer on ranks with a rehearsal device each: the CPU's figures, step by step.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <c10/core/DeviceGuard.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <mutex>

#include "app/text_builders.h"
#include "support/local_ranks.h"
#include "support/rehearsal/device.h"
#include "support/rehearsal/memory.h"
#include "support/rehearsal/ranks.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/models/deepseek_v3/train_spec.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/protocols/train_spec.h"
#include "titan/tools/signals.h"
#include "titan/tools/startup_times.h"
#include "titan/trainer/trainer.h"

namespace titan::test::rehearsal {
namespace {

using config::ActivationCheckpointMode;
using ::testing::SizeIs;

/// What a rank has reported.
struct Report {
  std::vector<protocols::StepMetrics> steps;
  std::vector<protocols::ValidationMetrics> validations;
  /// Of each step, to its end.
  std::vector<std::uint64_t> synchronizations;
};
using Reports = std::map<std::int64_t, Report>;

/// Hands everything on, and keeps it.
class Recording : public protocols::MetricsProcessor {
 public:
  Recording(std::unique_ptr<protocols::MetricsProcessor> inner, Report& report, at::Device device)
      : inner_(std::move(inner)), report_(report), device_(device) {}
  bool should_log(std::int64_t step) const override { return inner_->should_log(step); }
  void add_batch(std::int64_t tokens, double seconds) override {
    inner_->add_batch(tokens, seconds);
  }
  void log(const protocols::StepMetrics& metrics) override {
    inner_->log(metrics);
    report_.steps.push_back(metrics);
    const std::uint64_t now =
        device_.is_cpu() ? 0 : Machine::instance().synchronizations(device_.index());
    report_.synchronizations.push_back(now - before_);
    before_ = now;
  }
  void log_validation(const protocols::ValidationMetrics& metrics) override {
    inner_->log_validation(metrics);
    report_.validations.push_back(metrics);
  }
  void close() override { inner_->close(); }

 private:
  std::unique_ptr<protocols::MetricsProcessor> inner_;
  Report& report_;
  at::Device device_;
  std::uint64_t before_ = 0;
};

class NoMemory : public protocols::MemoryMonitor {
 public:
  protocols::MemoryPeak peak() override { return {}; }
  void reset_peak() override {}
};

class Jobs : public ::testing::Test {
 protected:
  Jobs() {
    use_rehearsal_device();
    // Devices without kernels of their own have only this one.
    at::globalContext().setSDPUseFlash(false);
    config_.model.flavor = "tiny";
    config_.training.local_batch_size = 2;
    config_.training.seq_len = 16;
    config_.training.steps = 6;
    config_.training.mixed_precision_param = config::DType::kFloat32;
    config_.training.max_norm = 0.5;
    config_.optimizer.lr = 0.01;
    config_.lr_scheduler.warmup_steps = 2;
    config_.activation_checkpoint.mode = ActivationCheckpointMode::kNone;
    config_.metrics.log_freq = 1;
    config_.debug.seed = 1;
  }

  /// Trains as this rank, or as long as the rank's job goes.
  void run(const comm::RankContext& context, const std::string& folder, Reports& reports) {
    config::JobConfig config = config_;
    config.job.dump_folder = folder_ / folder;
    {
      const std::lock_guard lock(mutex_);
      config.model.name = "job_" + std::to_string(++models_);
    }
    protocols::TextBuilders builders = app::text_builders();
    builders.build_metrics_processor = [&, inner = builders.build_metrics_processor](
                                           const protocols::MetricsSetup& setup,
                                           const config::JobConfig& c) {
      const std::lock_guard lock(mutex_);
      return std::make_unique<Recording>(inner(setup, c), reports[context.rank], context.device);
    };
    {
      const std::lock_guard lock(mutex_);
      protocols::register_train_spec(config.model.name,
                                     has_experts_ ? models::deepseek_v3::train_spec(builders)
                                                  : models::llama3::train_spec(builders));
    }
    tools::StartupTimes startup_times;
    trainer::Trainer trainer(config, {context, {"rehearsal", "test", 1}, memory_, startup_times});
    trainer.train(stop_signals_);
  }

  Reports on_cpu(const mesh::Degrees& degrees, std::int64_t ranks) {
    Reports reports;
    set_degrees(degrees);
    on_local_ranks(degrees, ranks, [&](comm::RankContext context) {
      context.generator = at::make_generator<at::CPUGeneratorImpl>(1);
      context.leads_process = context.rank == 0;
      run(context, "cpu", reports);
    });
    return reports;
  }

  Reports on_devices(const mesh::Degrees& degrees, std::int64_t ranks, int first_device = 0) {
    Reports reports;
    set_degrees(degrees);
    rehearsal::on_devices(
        degrees, ranks, [&](const comm::RankContext& context) { run(context, "device", reports); },
        first_device);
    return reports;
  }

  void set_degrees(const mesh::Degrees& degrees) {
    config_.parallelism.data_parallel_replicate_degree = degrees.dp_replicate;
    config_.parallelism.data_parallel_shard_degree = degrees.dp_shard;
    config_.parallelism.tensor_parallel_degree = degrees.tp;
    config_.parallelism.pipeline_parallel_degree = degrees.pp;
    config_.parallelism.expert_parallel_degree = degrees.ep;
  }

  void save_every_two_steps() {
    config_.checkpoint.enable = true;
    config_.checkpoint.interval = 2;
    config_.checkpoint.last_save_model_only = false;
    config_.checkpoint.async_mode = config::AsyncMode::kAsyncWithPinnedMem;
  }

  void validate_every_three_steps() {
    config_.validation.enable = true;
    config_.validation.dataset = "c4_test";
    config_.validation.local_batch_size = 2;
    config_.validation.seq_len = 16;
    config_.validation.freq = 3;
    config_.validation.steps = 2;
  }

  /// `tolerance`: for rounding; other kernels are chosen for a device that has few of its own.
  static void expect_same(const Reports& actual, const Reports& expected, double tolerance = 1e-5,
                          std::size_t first = 0) {
    ASSERT_EQ(actual.size(), expected.size());
    for (const auto& [rank, report] : expected) {
      const Report& other = actual.at(rank);
      ASSERT_THAT(other.steps, SizeIs(report.steps.size() - first)) << "rank " << rank;
      for (std::size_t i = first; i < report.steps.size(); ++i) {
        const protocols::StepMetrics& step = other.steps[i - first];
        EXPECT_EQ(step.step, report.steps[i].step);
        const auto expect_near = [&](double value, double wanted) {
          EXPECT_NEAR(value, wanted, tolerance * wanted) << "step " << step.step;
        };
        expect_near(step.loss, report.steps[i].loss);
        expect_near(step.max_loss, report.steps[i].max_loss);
        expect_near(step.grad_norm, report.steps[i].grad_norm);
        EXPECT_EQ(step.lr, report.steps[i].lr);
      }
      if (first > 0) continue;
      ASSERT_EQ(other.validations.size(), report.validations.size());
      for (std::size_t i = 0; i < report.validations.size(); ++i) {
        EXPECT_NEAR(other.validations[i].loss, report.validations[i].loss,
                    tolerance * report.validations[i].loss);
      }
    }
  }

  test::TemporaryFolder folder_;
  std::mutex mutex_;
  NoMemory memory_;
  tools::StopSignals stop_signals_;
  config::JobConfig config_;
  bool has_experts_ = false;  // two of the model's three layers

 private:
  static inline int models_ = 0;
};

TEST_F(Jobs, OneRankWithEverything) {
  validate_every_three_steps();
  config_.activation_checkpoint.mode = ActivationCheckpointMode::kSelective;
  config_.training.global_batch_size = 4;  // two microbatches
  const Reports cpu = on_cpu({1, 1}, 1);
  ASSERT_THAT(cpu.at(0).validations, SizeIs(3));
  save_every_two_steps();
  config_.profiling.enable_profiling = true;
  config_.profiling.profile_freq = 3;
  config_.profiling.profiler_warmup = 1;
  forget_devices_in_use();
  expect_same(on_devices({1, 1}, 1, /*first_device=*/1), cpu);
  EXPECT_EQ(devices_in_use(), std::set<int>{1}) << "who has no device guard is on device 0";
  EXPECT_TRUE(std::filesystem::exists(folder_ / "device/checkpoint/step-6/.metadata"));
  EXPECT_FALSE(std::filesystem::is_empty(folder_ / "device/profile_traces"));
}

TEST_F(Jobs, ShardedJobsGoOnFromAsyncCheckpoints) {
  config_.activation_checkpoint.mode = ActivationCheckpointMode::kFull;
  config_.training.mixed_precision_param = config::DType::kBFloat16;
  validate_every_three_steps();
  const Reports cpu = on_cpu({1, 2}, 2);
  save_every_two_steps();
  forget_devices_in_use();
  const Reports whole = on_devices({1, 2}, 2, /*first_device=*/1);
  EXPECT_EQ(devices_in_use(), (std::set<int>{1, 2}));
  expect_same(whole, cpu, /*tolerance=*/1e-2);
  std::filesystem::remove_all(folder_ / "device/checkpoint/step-6");
  expect_same(on_devices({1, 2}, 2, /*first_device=*/1), whole, /*tolerance=*/0, /*first=*/4);
}

TEST_F(Jobs, OffloadedParametersStayOnTheHost) {
  config_.training.enable_cpu_offload = true;
  config_.training.global_batch_size = 8;
  validate_every_three_steps();
  const Reports cpu = on_cpu({1, 2}, 2);
  save_every_two_steps();
  expect_same(on_devices({1, 2}, 2), cpu);
}

TEST_F(Jobs, ThreeShards) { expect_same(on_devices({1, 3}, 3), on_cpu({1, 3}, 3)); }

TEST_F(Jobs, ReplicatedShards) {
  config_.activation_checkpoint.mode = ActivationCheckpointMode::kSelective;
  config_.activation_checkpoint.selective_ac_option = "2";
  expect_same(on_devices({2, 2}, 4), on_cpu({2, 2}, 4));
}

TEST_F(Jobs, Replicas) {
  config_.training.global_batch_size = 8;
  expect_same(on_devices({2, 1}, 2), on_cpu({2, 1}, 2));
}

TEST_F(Jobs, TensorParallelShards) {
  const mesh::Degrees degrees{.dp_shard = 2, .tp = 2};
  expect_same(on_devices(degrees, 4), on_cpu(degrees, 4), /*tolerance=*/1e-4);
}

/// The loss is computed a few rows at a time, by ranks that share the vocabulary.
TEST_F(Jobs, FastPathsOfTensorParallelShards) {
  config_.compile.enable = true;
  config_.training.mixed_precision_param = config::DType::kBFloat16;
  const mesh::Degrees degrees{.dp_shard = 2, .tp = 2};
  expect_same(on_devices(degrees, 4), on_cpu(degrees, 4), /*tolerance=*/1e-2);
  config_.training.mixed_precision_param = config::DType::kFloat32;
  expect_same(on_devices(degrees, 4), on_cpu(degrees, 4), /*tolerance=*/1e-4);
}

TEST_F(Jobs, PipelinesOfShards) {
  const mesh::Degrees degrees{.dp_shard = 2, .pp = 2};
  config_.activation_checkpoint.mode = ActivationCheckpointMode::kFull;
  expect_same(on_devices(degrees, 4), on_cpu(degrees, 4));
}

TEST_F(Jobs, ExpertsOnSeveralRanks) {
  has_experts_ = true;
  const mesh::Degrees degrees{.dp_shard = 2, .ep = 2};
  expect_same(on_devices(degrees, 2), on_cpu(degrees, 2));
  config_.activation_checkpoint.mode = ActivationCheckpointMode::kFull;
  expect_same(on_devices(degrees, 2), on_cpu(degrees, 2));
}

/// Whose forwards and backwards take turns.
TEST_F(Jobs, ExpertsInAPipeline) {
  has_experts_ = true;
  config_.parallelism.pipeline_parallel_schedule = "DualPipeV";
  config_.training.local_batch_size = 4;
  const mesh::Degrees degrees{.dp_shard = 2, .pp = 2, .ep = 2};
  expect_same(on_devices(degrees, 4), on_cpu(degrees, 4));
}

/// How often the host waits for the device in each step after the first.
TEST_F(Jobs, AStepWaitsOnceForItsResultAndOnceForTheTokensOfAllRanks) {
  const auto after_the_first = [](const Reports& reports) {
    const std::vector<std::uint64_t>& all = reports.at(0).synchronizations;
    return std::set<std::uint64_t>(all.begin() + 2, all.end());
  };
  EXPECT_EQ(after_the_first(on_devices({1, 1}, 1)), std::set<std::uint64_t>{1});
  EXPECT_EQ(after_the_first(on_devices({1, 2}, 2)), std::set<std::uint64_t>{2});
  EXPECT_EQ(after_the_first(on_devices({2, 1}, 2)), std::set<std::uint64_t>{2});
  config_.training.enable_cpu_offload = true;
  // Behind backward, for the gradients of each unit - embeddings, two blocks, norm and output - and for their
  // norm.
  EXPECT_EQ(after_the_first(on_devices({1, 2}, 2)), std::set<std::uint64_t>{2 + 4 + 1});
}

/// Who sets no device is on the first one: what jobs on other devices look for.
TEST_F(Jobs, AMissingDeviceGuardShows) {
  set_degrees({1, 2});
  Reports reports;
  forget_devices_in_use();
  rehearsal::on_devices(
      {1, 2}, 2,
      [&](const comm::RankContext& context) {
        const c10::DeviceGuard missing(device(0));
        EXPECT_THAT(message_of<RunError>([&] { run(context, "device", reports); }),
                    ::testing::HasSubstr("cannot send a tensor on rehearsal:0"));
      },
      /*first_device=*/1);
  EXPECT_TRUE(devices_in_use().contains(0));
}

}  // namespace
}  // namespace titan::test::rehearsal
