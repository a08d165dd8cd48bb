#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "app/text_builders.h"
#include "support/local_ranks.h"
#include "support/rehearsal/device.h"
#include "support/rehearsal/graphs.h"
#include "support/rehearsal/ranks.h"
#include "support/temporary_folder.h"
#include "titan/config/job_config.h"
#include "titan/models/deepseek_v3/train_spec.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/protocols/train_spec.h"
#include "titan/tools/signals.h"
#include "titan/tools/startup_times.h"
#include "titan/trainer/trainer.h"

namespace titan::test::rehearsal {

using config::ActivationCheckpointMode;

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

/// Whole jobs of the trainer on ranks with a rehearsal device each.
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
    if (change_builders_) change_builders_(builders, context);
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
    const std::unique_ptr<tools::GraphCapture> graphs = make_graph_capture(context.device);
    trainer::Trainer trainer(config, {context,
                                      {"rehearsal", "test", 1},
                                      memory_,
                                      startup_times,
                                      /*operator_profile=*/nullptr,
                                      context.device.is_cpu() ? nullptr : graphs.get()});
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
      ASSERT_THAT(other.steps, ::testing::SizeIs(report.steps.size() - first)) << "rank " << rank;
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
  /// Of the next jobs.
  std::function<void(protocols::TextBuilders&, const comm::RankContext&)> change_builders_;

 private:
  static inline int models_ = 0;
};

}  // namespace titan::test::rehearsal
