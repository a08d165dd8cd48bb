// Jobs whose forward and backward are replayed (compile.cuda_graphs): the bits of the same jobs without.
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>

#include <cmath>
#include <limits>

#include "rehearsal/jobs.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::test::rehearsal {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

/// Hands batches on with a number of ignored labels that differs from one to the next, as prompts are.
class SomeIgnored : public protocols::DataLoader {
 public:
  SomeIgnored(std::unique_ptr<protocols::DataLoader> inner, std::function<void(int)> before)
      : inner_(std::move(inner)), before_(std::move(before)) {}
  bool next(protocols::Batch& batch) override {
    if (!inner_->next(batch)) return false;
    const auto ignored = static_cast<std::size_t>(1 + batch.input.front() % 13);
    std::fill_n(batch.labels.begin(), ignored, protocols::kIgnoreIndex);
    if (before_) before_(++batches_);
    return true;
  }
  protocols::DataPosition position() const override { return inner_->position(); }
  void restart() override { inner_->restart(); }
  void restore(const std::vector<protocols::DataPosition>& positions) override {
    inner_->restore(positions);
  }

 private:
  std::unique_ptr<protocols::DataLoader> inner_;
  std::function<void(int)> before_;
  int batches_ = 0;
};

class GraphedJobs : public Jobs {
 protected:
  GraphedJobs() {
    config_.training.steps = 10;
    config_.activation_checkpoint.preserve_rng_state = false;
    config_.debug.log_hashes = true;
    change_builders_ = [this](protocols::TextBuilders& builders, const comm::RankContext&) {
      builders.build_dataloader = [this, inner = builders.build_dataloader](
                                      protocols::DataPurpose purpose, auto... others) {
        const bool trains = purpose == protocols::DataPurpose::kTraining;
        return std::make_unique<SomeIgnored>(inner(purpose, others...),
                                             trains ? before_batch_ : nullptr);
      };
      builders.build_loss = [this, inner = builders.build_loss](const comm::RankContext& context,
                                                                const config::JobConfig& config) {
        return [this, loss = inner(context, config)](const at::Tensor& logits,
                                                     const at::Tensor& labels) {
          ++losses_;
          return changed_loss_ ? changed_loss_(loss(logits, labels)) : loss(logits, labels);
        };
      };
    };
  }

  struct Outcome {
    Report report;
    std::string hashes;  // of the weights at the start and the end, and of the first batches
    int losses = 0;      // that the host had computed
  };

  Outcome train(bool graphs) {
    config_.compile.cuda_graphs = graphs;
    losses_ = 0;
    Outcome outcome;
    outcome.report = on_devices({1, 1}, 1)[0];
    outcome.hashes =
        base::read_whole_file(base::posix_file_system(), folder_ / "device/hashes.jsonl", 1 << 20);
    outcome.losses = losses_;
    return outcome;
  }

  static void expect_same_bits(const Outcome& actual, const Outcome& expected) {
    ASSERT_FALSE(expected.report.steps.empty());
    expect_same({{0, actual.report}}, {{0, expected.report}}, /*tolerance=*/0);
    EXPECT_EQ(actual.hashes, expected.hashes);
  }

  /// Trains without graphs and with them.
  void expect_same_bits() {
    std::filesystem::remove_all(folder_ / "device");
    const Outcome plain = train(false);
    std::filesystem::remove_all(folder_ / "device");
    expect_same_bits(train(true), plain);
  }

  /// What a job with graphs says that cannot be captured.
  std::string refusal() {
    config_.compile.cuda_graphs = true;
    std::string message;
    Reports reports;
    set_degrees({1, 1});
    rehearsal::on_devices({1, 1}, 1, [&](const comm::RankContext& context) {
      message = message_of<RunError>([&] { run(context, "device", reports); });
    });
    return message;
  }

  std::function<void(int batch)> before_batch_;
  std::function<at::Tensor(const at::Tensor&)> changed_loss_;
  int losses_ = 0;
};

TEST_F(GraphedJobs, HaveTheBitsOfJobsWithout) {
  config_.training.global_batch_size = 6;  // three microbatches
  validate_every_three_steps();
  const Outcome plain = train(false);
  const int validated = 4 * 2;
  EXPECT_EQ(plain.losses, 10 * 3 + validated);
  std::filesystem::remove_all(folder_ / "device");
  save_every_two_steps();
  const Outcome graphed = train(true);
  // Three steps of three, and one capture of either kind.
  EXPECT_EQ(graphed.losses, 3 * 3 + 2 + validated) << "the host computes in replays";
  expect_same_bits(graphed, plain);
}

TEST_F(GraphedJobs, GoOnFromCheckpoints) {
  save_every_two_steps();
  const Outcome whole = train(true);
  for (const char* later : {"10", "8", "6"}) {
    std::filesystem::remove_all(folder_ / "device/checkpoint/step-" + later);
  }
  std::filesystem::remove(folder_ / "device/hashes.jsonl");
  const Outcome resumed = train(true);
  expect_same({{0, resumed.report}}, {{0, whole.report}}, /*tolerance=*/0, /*first=*/4);
  const auto at_the_end = [](const Outcome& outcome) {
    return outcome.hashes.substr(outcome.hashes.find("{\"step\":10,"));
  };
  EXPECT_EQ(at_the_end(resumed), at_the_end(whole));
}

TEST_F(GraphedJobs, WhateverIsRecomputed) {
  config_.training.steps = 6;
  for (const ActivationCheckpointMode mode :
       {ActivationCheckpointMode::kFull, ActivationCheckpointMode::kSelective}) {
    config_.activation_checkpoint.mode = mode;
    config_.activation_checkpoint.selective_ac_option = "op";
    expect_same_bits();
  }
}

TEST_F(GraphedJobs, OfFastPaths) {
  config_.training.steps = 6;
  config_.compile.enable = true;
  config_.compile.components = {"model", "loss", "optimizer"};
  for (const ActivationCheckpointMode mode :
       {ActivationCheckpointMode::kNone, ActivationCheckpointMode::kMemoryBudget}) {
    config_.activation_checkpoint.mode = mode;
    expect_same_bits();
  }
}

TEST_F(GraphedJobs, InHalfPrecision) {
  config_.training.dtype = config::DType::kBFloat16;
  expect_same_bits();
}

/// A step that the host skips because its norm is not finite: the next replay overwrites its gradients.
TEST_F(GraphedJobs, SkipStepsAsOthersDo) {
  config_.debug.on_nan = config::OnNan::kSkip;
  at::Tensor factor;
  before_batch_ = [&](int batch) {
    const bool is_bad = batch == 2 || batch == 6;
    factor.fill_(is_bad ? std::numeric_limits<double>::infinity() : 1.0);
  };
  changed_loss_ = [&](const at::Tensor& loss) { return loss * factor; };
  Outcome outcomes[2];
  for (const bool graphs : {false, true}) {
    rehearsal::on_devices({1, 1}, 1, [&](const comm::RankContext& context) {
      factor = at::full({}, 1.0, at::TensorOptions().device(context.device));
    });
    std::filesystem::remove_all(folder_ / "device");
    outcomes[graphs] = train(graphs);
    for (protocols::StepMetrics& step : outcomes[graphs].report.steps) {
      EXPECT_EQ(std::isfinite(step.loss), step.step != 2 && step.step != 6);
      if (!std::isfinite(step.loss)) step.loss = step.max_loss = step.grad_norm = 0;
    }
  }
  expect_same_bits(outcomes[true], outcomes[false]);
}

TEST_F(GraphedJobs, SayWhatCannotBeCaptured) {
  changed_loss_ = [](const at::Tensor& loss) { return loss * loss.item<float>(); };
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("compile.cuda_graphs: forward and backward of a microbatch "
                              "cannot be captured: in a capture"),
                    HasSubstr("--compile.no-cuda_graphs")));
  changed_loss_ = nullptr;
  config_.activation_checkpoint.mode = ActivationCheckpointMode::kFull;
  config_.activation_checkpoint.preserve_rng_state = true;
  EXPECT_THAT(refusal(), HasSubstr("random numbers"));
}

/// What these tests would see if a step read something that does not stay where it is.
TEST_F(GraphedJobs, ATensorMadeAnewInEveryStepShows) {
  at::Tensor factor;
  before_batch_ = [&](int batch) {
    factor = at::full({}, 1.0 + batch, at::TensorOptions().device(device(0)));
  };
  changed_loss_ = [&](const at::Tensor& loss) { return loss * factor; };
  const Outcome plain = train(false);
  std::filesystem::remove_all(folder_ / "device");
  config_.debug.on_nan = config::OnNan::kSkip;
  const Outcome graphed = train(true);
  ASSERT_THAT(graphed.report.steps, SizeIs(10));
  for (std::size_t i = 0; i < 10; ++i) {
    const bool is_equal = graphed.report.steps[i].loss == plain.report.steps[i].loss;
    EXPECT_EQ(is_equal, i < 4) << "step " << i + 1;
  }
}

}  // namespace
}  // namespace titan::test::rehearsal
