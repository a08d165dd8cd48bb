#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <functional>
#include <memory>

namespace titan::autograd {

/// Sees every operator that this thread runs while the mode is active, below autograd and autocast,
/// above the device kernels. Composite operators arrive as what they are made of (`linear` as
/// `mm`); operators that a kernel calls inside are not seen.
///
/// LibTorch's dispatch key `Fake` sits at that place and nothing is registered to it; our boxed
/// fallback is.
class DispatchMode {
 public:
  virtual ~DispatchMode() = default;

  /// Runs `op` on the arguments on top of `stack` and replaces them by the results; `compute` does
  /// the normal thing.
  virtual void call(const c10::OperatorHandle& op, torch::jit::Stack* stack,
                    const std::function<void()>& compute) = 0;
};

/// Activates a mode for this thread until the end of the scope. Modes nest: what the inner one
/// computes passes the outer one.
class DispatchModeScope {
 public:
  explicit DispatchModeScope(DispatchMode& mode);
  ~DispatchModeScope();
  DispatchModeScope(const DispatchModeScope&) = delete;
  DispatchModeScope& operator=(const DispatchModeScope&) = delete;

  /// The boxed fallback of the dispatch key; for the dispatcher only.
  static void intercept(const c10::OperatorHandle& op, c10::DispatchKeySet keys,
                        torch::jit::Stack* stack);

 private:
  struct Link;
  std::unique_ptr<Link> link_;
  c10::impl::IncludeDispatchKeyGuard include_;
};

}  // namespace titan::autograd
