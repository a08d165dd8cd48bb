#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <functional>
#include <memory>

namespace titan::autograd {

/// Sees every operator that this thread runs while the mode is active, below autograd and autocast,
/// above the device kernels. Composite operators arrive as what they are made of (`linear` as
/// `mm`); operators that a kernel calls inside are not seen, unless an `InnerOperatorsScope` says so.
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
  friend class InnerOperatorsScope;
  struct Link;
  std::unique_ptr<Link> link_;
  c10::impl::IncludeDispatchKeyGuard include_;
};

/// In `call` of a mode: while it lives, that mode and those around it also see the operators that the
/// kernel of this operator calls.
class InnerOperatorsScope {
 public:
  explicit InnerOperatorsScope(const DispatchMode& mode);
  ~InnerOperatorsScope();
  InnerOperatorsScope(const InnerOperatorsScope&) = delete;
  InnerOperatorsScope& operator=(const InnerOperatorsScope&) = delete;

 private:
  const DispatchModeScope::Link* innermost_;
  bool excluded_;
};

}  // namespace titan::autograd
