#include "titan/components/checkpoint/stateful.h"

#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

using formats::PickleValue;

std::int64_t integer(const DcpCheckpoint& checkpoint, const std::string& key) {
  const PickleValue value = checkpoint.object(key);
  const auto* number = value.get_if<std::int64_t>();
  if (number == nullptr || *number < 0) {
    throw RunError(concat("'", checkpoint.folder(), "': ", key, " is a ", value.kind(),
                          ", not a number of at least 0"));
  }
  return *number;
}

/// The first number of a list; nothing where there is no such thing.
std::optional<double> first_real(const DcpCheckpoint& checkpoint, const std::string& key) {
  if (checkpoint.find(key) == nullptr) return std::nullopt;
  const PickleValue value = checkpoint.object(key);
  const auto* list = value.get_if<formats::PickleList>();
  if (list == nullptr || list->items.empty()) return std::nullopt;
  const auto* number = list->items.front().get_if<double>();
  return number == nullptr ? std::nullopt : std::optional(*number);
}

class TrainState : public Stateful {
 public:
  TrainState(std::int64_t& step, std::int64_t& tokens_seen, std::int64_t ranks)
      : step_(step), tokens_seen_(tokens_seen), ranks_(ranks) {}

  std::string name() const override { return "train_state"; }

  void add_to(FlatState& state) override {
    state.objects.push_back({{"train_state", "step"}, PickleValue::integer(step_)});
    state.objects.push_back({{"train_state", "ntokens_seen"}, PickleValue::integer(tokens_seen_)});
  }

  void restore(const DcpCheckpoint& checkpoint) override {
    step_ = integer(checkpoint, "train_state.step");
    tokens_seen_ = integer(checkpoint, "train_state.ntokens_seen");
    if (checkpoint.find("dataloader.world_size") == nullptr) return;
    // All ranks together have seen as many as those who saved.
    const std::int64_t saved_ranks = integer(checkpoint, "dataloader.world_size");
    if (saved_ranks == ranks_) return;
    tokens_seen_ =
        static_cast<std::int64_t>(static_cast<double>(tokens_seen_) *
                                  static_cast<double>(saved_ranks) / static_cast<double>(ranks_));
  }

 private:
  std::int64_t& step_;
  std::int64_t& tokens_seen_;
  std::int64_t ranks_;
};

class LRSchedulerState : public Stateful {
 public:
  LRSchedulerState(protocols::LRSchedulers& schedulers, const protocols::Optimizers& optimizers)
      : schedulers_(schedulers), optimizers_(optimizers) {}

  std::string name() const override { return "lr_scheduler"; }

  void add_to(FlatState& state) override {
    const auto add = [&](const char* key, PickleValue value) {
      state.objects.push_back({{"lr_scheduler", key}, std::move(value)});
    };
    const std::int64_t steps = schedulers_.last_epoch();
    add("base_lrs", PickleValue::list({PickleValue::real(optimizers_.base_lr())}));
    add("last_epoch", PickleValue::integer(steps));
    add("_step_count", PickleValue::integer(steps + 1));
    add("_is_initial", PickleValue::boolean(false));
    add("_get_lr_called_within_step", PickleValue::boolean(false));
    add("_last_lr", PickleValue::list({PickleValue::real(schedulers_.last_lr())}));
  }

  void restore(const DcpCheckpoint& checkpoint) override {
    // As in PyTorch the coming step has the rate that was set when the checkpoint was saved, even where
    // another number of steps has changed the schedule since. Another base rate is one to be used.
    const bool same_base = first_real(checkpoint, "lr_scheduler.base_lrs") == optimizers_.base_lr();
    schedulers_.restore(integer(checkpoint, "lr_scheduler.last_epoch"),
                        same_base ? first_real(checkpoint, "lr_scheduler._last_lr") : std::nullopt);
  }

 private:
  protocols::LRSchedulers& schedulers_;
  const protocols::Optimizers& optimizers_;
};

class RngState : public Stateful {
 public:
  RngState(at::Generator generator, std::int64_t rank)
      : generator_(std::move(generator)), key_("rank_" + std::to_string(rank)) {}

  std::string name() const override { return "rng_state"; }

  void add_to(FlatState& state) override {
    buffer_ = generator_.get_state();
    state.tensors.push_back({{"rng_state", key_}, buffer_});
  }

  std::vector<StateTensor> targets(const DcpCheckpoint& checkpoint) override {
    FlatState now;
    add_to(now);
    const formats::DcpEntry* entry = checkpoint.find(now.tensors.front().key());
    found_ = entry != nullptr && entry->tensor() != nullptr &&
             entry->tensor()->sizes == buffer_.sizes().vec();
    return found_ ? now.tensors : std::vector<StateTensor>();
  }

  void restore(const DcpCheckpoint&) override {
    if (found_) generator_.set_state(buffer_);
  }

 private:
  at::Generator generator_;
  std::string key_;
  at::Tensor buffer_;
  bool found_ = false;
};

}  // namespace

std::vector<StateTensor> Stateful::targets(const DcpCheckpoint&) {
  FlatState now;
  add_to(now);
  return std::move(now.tensors);
}

std::unique_ptr<Stateful> train_state(std::int64_t& step, std::int64_t& tokens_seen,
                                      std::int64_t ranks) {
  return std::make_unique<TrainState>(step, tokens_seen, ranks);
}

std::unique_ptr<Stateful> lr_scheduler_state(protocols::LRSchedulers& schedulers,
                                             const protocols::Optimizers& optimizers) {
  return std::make_unique<LRSchedulerState>(schedulers, optimizers);
}

std::unique_ptr<Stateful> rng_state(at::Generator generator, std::int64_t rank) {
  return std::make_unique<RngState>(std::move(generator), rank);
}

}  // namespace titan::components
