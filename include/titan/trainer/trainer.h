#pragma once

#include <memory>
#include <optional>
#include <string>

#include "titan/comm/rank_context.h"
#include "titan/config/job_config.h"
#include "titan/protocols/train_spec.h"
#include "titan/step/build_model_parts.h"
#include "titan/tools/device_facts.h"

namespace titan::components {
class Checkpointer;
class ExpertBalance;
enum class SaveReason;
}  // namespace titan::components
namespace titan::profiling {
class OperatorProfile;
class Profiler;
}  // namespace titan::profiling
namespace titan::step {
class EarlyStep;
}
namespace titan::tools {
class GraphCapture;
class StartupTimes;
class StopSignals;
}  // namespace titan::tools

namespace titan::trainer {

class HashLog;
class NonfinitePolicy;
class RankSums;
class Samples;
struct StepFigures;
class ValidationPosition;

/// What the trainer is given from outside: where it runs and who watches. Everything outlives the
/// trainer.
struct TrainerEnvironment {
  comm::RankContext context;
  tools::DeviceFacts device_facts;
  /// Memory of the device, or of the process on a CPU.
  protocols::MemoryMonitor& memory;
  tools::StartupTimes& startup_times;
  /// Records the operators of steps; may be null.
  profiling::OperatorProfile* operator_profile = nullptr;
  /// Of the context's device, for `compile.cuda_graphs`; null where it has no graphs.
  tools::GraphCapture* graphs = nullptr;
};

/// Builds everything a job needs, in the reference's order, and trains. One object per rank. While
/// it lives, SIGUSR1 has the next step traced (titan/profiling/profiler.h).
class Trainer {
 public:
  /// Throws ConfigError or RunError; nothing is trained yet.
  Trainer(const config::JobConfig& config, TrainerEnvironment environment);
  ~Trainer();

  /// Trains from the current step to `training.steps`. Returns early, after a whole step, when a
  /// signal came or the data ran out; what was trained is then saved, where checkpoints are. Throws RunError (data, device, a non-finite loss).
  /// Where a checkpoint of the last step or a later one was loaded, only says so, and writes the last save
  /// in Hugging Face's format if that is asked for.
  void train(const tools::StopSignals& stop_signals);

  /// Saves the initial weights as step 0, for jobs of any layout to begin with.
  void create_seed_checkpoint();

 private:
  // build_trainer.cpp: in the constructor's order.
  void build_data();
  void build_validation_data();
  std::unique_ptr<protocols::DataLoader> build_dataloader(protocols::DataPurpose purpose);
  void build_model();
  void build_optimizers();
  void build_checkpointer();
  void build_metrics();
  void build_validation();
  void build_samples();
  void log_device() const;
  void log_ready() const;

  void end_without_training();
  enum class StepOutcome { kDone, kNoData, kTakenBack };
  StepOutcome train_step(const tools::StopSignals& stop_signals);
  bool fetch_microbatches();
  /// A step of prompts only has the loss 0, not 0 / 0.
  at::Tensor divisor_of_loss(double tokens) const;
  protocols::StepMetrics metrics_of(const StepFigures& figures) const;
  double scale_of_own_loss(double tokens) const;
  at::Tensor gradient_norm() const;
  void clip(const at::Tensor& norm);
  void update(const at::Tensor& norm);
  void go_back();
  void after_step(const tools::StopSignals& stop_signals);
  void after_first_step();
  void validate(const tools::StopSignals& stop_signals);
  void save(components::SaveReason reason);
  void save_at_end();

  const config::JobConfig& config_;
  TrainerEnvironment environment_;
  const protocols::TrainSpec& spec_;
  std::unique_ptr<RankSums> sums_;
  std::int64_t data_ranks_;
  std::int64_t accumulation_steps_;
  std::unique_ptr<profiling::Profiler>
      profiler_;  // null on ranks that share a process with another's

  std::unique_ptr<protocols::Tokenizer> tokenizer_;
  std::unique_ptr<protocols::DataLoader> dataloader_;
  std::unique_ptr<protocols::ModelArgs> model_args_;
  step::RankModel model_;
  parallel::Parameters parameters_;  // of all parts
  std::unique_ptr<protocols::StepRunner> runner_;
  std::unique_ptr<protocols::Optimizers> optimizers_;
  std::unique_ptr<step::EarlyStep> early_step_;                // null unless asked for
  std::unique_ptr<components::ExpertBalance> expert_balance_;  // null without experts
  std::unique_ptr<protocols::LRSchedulers> lr_schedulers_;
  std::unique_ptr<protocols::MetricsProcessor> metrics_;
  std::unique_ptr<protocols::DataLoader> validation_data_;  // until the validator has it
  std::unique_ptr<ValidationPosition>
      validation_position_;                          // null where validations begin at the start
  std::unique_ptr<protocols::Validator> validator_;  // null without validation
  std::unique_ptr<Samples> samples_;                 // null without prompts
  std::unique_ptr<HashLog> hash_log_;                // null unless asked for
  std::unique_ptr<NonfinitePolicy> nonfinite_;
  std::unique_ptr<components::Checkpointer> checkpointer_;  // null without checkpoints

  std::int64_t step_ = 0;
  std::int64_t saved_step_ = 0;   // the last one that a checkpoint was made of, or loaded
  std::int64_t tokens_seen_ = 0;  // by this rank
  bool stop_ = false;             // agreed by all ranks
  std::vector<protocols::Batch> microbatches_;  // reused from step to step
};

}  // namespace titan::trainer
