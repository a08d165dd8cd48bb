#include "titan/parallel/checkpoint_forward.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include <mutex>
#include <optional>
#include <utility>

#include "titan/autograd/recomputation.h"
#include "titan/autograd/saved_tensor_hooks.h"
#include "titan/autograd/split_backward.h"
#include "titan/base/errors.h"
#include "titan/parallel/autocast.h"

namespace titan::parallel {

namespace {

/// Thrown through forward when early_stop has all it needs.
struct RecomputationComplete {};

/// What a recomputed tensor must look like.
struct TensorShape {
  explicit TensorShape(const at::Tensor& tensor)
      : sizes(tensor.sizes().vec()), dtype(tensor.scalar_type()), device(tensor.device()) {}
  bool operator==(const TensorShape&) const = default;

  std::vector<std::int64_t> sizes;
  at::ScalarType dtype;
  at::Device device;
};

/// Ranks that are threads of one process share the default generators.
at::Tensor get_state(at::Generator generator) {
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

void set_state(at::Generator generator, const at::Tensor& state) {
  const std::lock_guard lock(generator.mutex());
  generator.set_state(state);
}

/// Puts a generator into `state`, and back at the end of the scope.
class RandomStateScope {
 public:
  RandomStateScope(const at::Generator& generator, const at::Tensor& state)
      : generator_(generator), outer_state_(get_state(generator)) {
    set_state(generator_, state);
  }
  ~RandomStateScope() { set_state(generator_, outer_state_); }
  RandomStateScope(const RandomStateScope&) = delete;
  RandomStateScope& operator=(const RandomStateScope&) = delete;

 private:
  at::Generator generator_;
  at::Tensor outer_state_;
};

/// Random number and autocast state of the moment forward ran.
class Surroundings {
 public:
  Surroundings(at::Device device, bool preserve_rng)
      : device_(device),
        autocast_enabled_(at::autocast::is_autocast_enabled(device.type())),
        autocast_dtype_(at::autocast::get_autocast_dtype(device.type())) {
    if (preserve_rng) rng_state_ = get_state(generator());
  }

  void run(const std::function<void()>& body) {
    const c10::AutoGradMode with_grad(true);
    const AutocastScope autocast(device_.type(), autocast_enabled_, autocast_dtype_);
    if (!rng_state_.defined()) return body();
    const RandomStateScope random_state(generator(), rng_state_);
    body();
  }

 private:
  at::Generator generator() const { return at::globalContext().defaultGenerator(device_); }

  at::Device device_;
  bool autocast_enabled_;
  at::ScalarType autocast_dtype_;
  at::Tensor rng_state_;
};

/// How often which operator ran.
class CountingMode : public autograd::DispatchMode {
 public:
  void call(const c10::OperatorHandle& op, torch::jit::Stack*,
            const std::function<void()>& compute) override {
    ++calls[op.operator_name().name];
    compute();
  }
  std::map<std::string, std::int64_t> calls;
};

/// One call of a checkpointed module: all that is needed to run it again. Shared by the tokens that
/// autograd holds instead of the saved tensors, and freed with them.
class Frame : public std::enable_shared_from_this<Frame> {
 public:
  Frame(nn::Module::Forward forward, const nn::Inputs& inputs, const CheckpointOptions& options)
      : forward_(std::move(forward)),
        determinism_check_(options.determinism_check),
        early_stop_(options.early_stop),
        report_recomputed_(options.report_recomputed),
        surroundings_(inputs.at(0).device(), options.preserve_rng_state) {
    if (options.selective_modes) modes_ = options.selective_modes();
    inputs_.sequence = inputs.sequence;
    for (const at::Tensor& input : inputs.tensors) {
      inputs_.tensors.push_back(
          input.defined() ? input.detach().set_requires_grad(input.requires_grad()) : input);
    }
  }

  nn::Tensors run(const nn::Inputs& inputs);
  /// The saved tensor `index`; runs forward again when it is not at hand.
  at::Tensor take(std::size_t index);

 private:
  friend class SavedToken;
  friend class CollectToken;

  std::size_t save(const at::Tensor& tensor) {
    if (modes_.saved) modes_.saved(tensor);
    saved_.emplace_back(tensor);
    needed_twice_.push_back(halves_ != nullptr && autograd::is_saving_for_weights());
    return saved_.size() - 1;
  }
  void collect(const at::Tensor& tensor);
  void recompute();

  nn::Module::Forward forward_;
  bool determinism_check_;
  bool early_stop_;
  std::function<void(const std::map<std::string, std::int64_t>&)> report_recomputed_;
  Surroundings surroundings_;
  nn::Inputs inputs_;
  SelectiveModes modes_;
  std::vector<TensorShape> saved_;
  std::vector<bool> needed_twice_;  // in both halves of backward
  std::shared_ptr<const autograd::BackwardHalves> halves_ = autograd::backward_halves();
  std::vector<at::Tensor> recomputed_;
};

/// Stands for a tensor that autograd wanted to save.
class SavedToken : public autograd::SavedTensorHooks {
 public:
  explicit SavedToken(std::shared_ptr<Frame> frame) : frame_(std::move(frame)) {}
  void call_pack_hook(const at::Tensor& tensor) override { index_ = frame_->save(tensor); }
  at::Tensor call_unpack_hook() override { return frame_->take(index_); }

 private:
  std::shared_ptr<Frame> frame_;
  std::size_t index_ = 0;
};

/// Collects a tensor of the recomputation; the graph made on the way is dropped, so it never
/// unpacks.
class CollectToken : public autograd::SavedTensorHooks {
 public:
  explicit CollectToken(Frame& frame) : frame_(frame) {}
  void call_pack_hook(const at::Tensor& tensor) override { frame_.collect(tensor); }
  at::Tensor call_unpack_hook() override {
    throw InternalError("backward ran through the recomputation of a checkpointed module");
  }

 private:
  Frame& frame_;
};

nn::Tensors Frame::run(const nn::Inputs& inputs) {
  const autograd::SavedTensorHooksScope hooks(
      [frame = shared_from_this()] { return std::make_unique<SavedToken>(frame); });
  const std::shared_ptr<autograd::DispatchMode> mode = std::exchange(modes_.forward, nullptr);
  nn::Tensors outputs;
  {
    std::optional<autograd::DispatchModeScope> scope;
    if (mode) scope.emplace(*mode);
    outputs = forward_(inputs);
  }
  modes_.saved = nullptr;
  if (const auto ended = std::exchange(modes_.forward_ended, nullptr)) ended();
  return outputs;
}

void Frame::collect(const at::Tensor& tensor) {
  const std::size_t index = recomputed_.size();
  TITAN_CHECK(index < saved_.size(),
              "a checkpointed module saved more tensors when run again: ", saved_.size(),
              " at first");
  TITAN_CHECK(!determinism_check_ || saved_[index] == TensorShape(tensor),
              "a checkpointed module saved another tensor when run again, number ", index, ": ",
              tensor.toString(), tensor.sizes());
  recomputed_.push_back(tensor.detach());
  if (early_stop_ && recomputed_.size() == saved_.size()) throw RecomputationComplete();
}

void Frame::recompute() {
  recomputed_.clear();
  recomputed_.reserve(saved_.size());
  surroundings_.run([this] {
    const autograd::RecomputationScope recomputing;
    const autograd::SavedTensorHooksScope hooks(
        [this] { return std::make_unique<CollectToken>(*this); });
    // Kept results are handed out once, and early_stop leaves some behind: a further run computes
    // everything.
    const std::shared_ptr<autograd::DispatchMode> mode = std::exchange(modes_.recompute, nullptr);
    CountingMode counting;
    std::optional<autograd::DispatchModeScope>
        counting_scope;  // around: sees what is not handed back
    if (report_recomputed_) counting_scope.emplace(counting);
    std::optional<autograd::DispatchModeScope> scope;
    if (mode) scope.emplace(*mode);
    try {
      forward_(inputs_);
    } catch (const RecomputationComplete&) {
    }
    if (report_recomputed_) report_recomputed_(counting.calls);
  });
  TITAN_CHECK(recomputed_.size() == saved_.size(), "a checkpointed module saved ", saved_.size(),
              " tensors, ", recomputed_.size(), " when run again");
}

at::Tensor Frame::take(std::size_t index) {
  // Each tensor is handed out once and then let go; asked again (a graph run twice), forward runs
  // again. The first half of a backward leaves the second what that needs, a part of all: forward would run for it again.
  if (index >= recomputed_.size() || !recomputed_[index].defined()) recompute();
  if (needed_twice_[index] && halves_->first_runs) return recomputed_[index];
  return std::exchange(recomputed_[index], at::Tensor());
}

}  // namespace

nn::Tensors checkpoint_forward(const nn::Module::Forward& forward, const nn::Inputs& inputs,
                               const CheckpointOptions& options) {
  if (!c10::GradMode::is_enabled()) return forward(inputs);
  return std::make_shared<Frame>(forward, inputs, options)->run(inputs);
}

}  // namespace titan::parallel
