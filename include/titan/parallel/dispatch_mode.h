#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace titan::parallel {

/// Sees every operator that this thread runs while the mode is active, below autograd and autocast, above the device kernels.
/// Composite operators arrive as what they are made of (`linear` as `mm`); operators that a kernel calls inside are not seen.
///
/// LibTorch's dispatch key `Fake` sits at that place and nothing is registered to it; our boxed fallback is.
class DispatchMode {
 public:
  virtual ~DispatchMode() = default;

  /// Runs `op` on the arguments on top of `stack` and replaces them by the results; `compute` does the normal thing.
  virtual void call(const c10::OperatorHandle& op, torch::jit::Stack* stack,
                    const std::function<void()>& compute) = 0;
};

/// Activates a mode for this thread until the end of the scope. A mode inside another hides it.
class DispatchModeScope {
 public:
  explicit DispatchModeScope(DispatchMode& mode);
  ~DispatchModeScope();
  DispatchModeScope(const DispatchModeScope&) = delete;
  DispatchModeScope& operator=(const DispatchModeScope&) = delete;

 private:
  DispatchMode* outer_;
  c10::impl::IncludeDispatchKeyGuard include_;
};

}  // namespace titan::parallel
