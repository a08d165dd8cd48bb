#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace at {
class Tensor;
}

namespace titan::protocols {

struct ParameterState;

/// The optimizers of all model parts of a rank, stepped together.
class Optimizers {
 public:
  virtual ~Optimizers() = default;
  /// Updates every parameter that has a gradient.
  virtual void step() = 0;
  /// Updates some of the parameters ahead of the step that they belong to, each at most once, and lets go of
  /// their gradients; those without one are left alone. `step` updates the others, and runs the hooks.
  virtual void step_early(const std::vector<at::Tensor>& parameters) = 0;
  /// Lets go of all gradients.
  virtual void zero_grad() = 0;
  /// The configured learning rate before any schedule.
  virtual double base_lr() const = 0;
  /// Sets the learning rate of the next step; parameter groups scale it by their `lr_scale`.
  virtual void set_lr(double lr) = 0;
  /// Of every parameter, in order (parameter_state.h). Makes the tensors where no step has made them yet.
  virtual std::vector<ParameterState> state() = 0;
  /// Runs before (after) every step, in order of registration.
  virtual void add_step_pre_hook(std::function<void()> hook) = 0;
  virtual void add_step_post_hook(std::function<void()> hook) = 0;
};

/// The learning-rate schedule of all optimizers of a rank.
class LRSchedulers {
 public:
  virtual ~LRSchedulers() = default;
  /// Moves to the next step and sets its learning rate.
  virtual void step() = 0;
  /// The learning rate of the coming (or running) optimizer step.
  virtual double last_lr() const = 0;
  /// Steps taken so far.
  virtual std::int64_t last_epoch() const = 0;
  /// Goes on behind so many steps. The next has the learning rate `lr`, whatever the schedule says
  /// (nothing: what it says).
  virtual void restore(std::int64_t last_epoch, std::optional<double> lr) = 0;
};

}  // namespace titan::protocols
