#include "titan/parallel/dispatch_mode.h"

#include <torch/library.h>

namespace titan::parallel {

namespace {

thread_local DispatchMode* active_mode = nullptr;

constexpr c10::DispatchKeySet kBelow(c10::DispatchKeySet::FULL_AFTER, c10::DispatchKey::Fake);

void intercept(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  // Operators that kernels or the mode itself call must not come back here.
  const c10::impl::ExcludeDispatchKeyGuard exclude(c10::DispatchKey::Fake);
  const auto compute = [&] { op.redispatchBoxed(keys & kBelow, stack); };
  if (active_mode == nullptr) {
    compute();
  } else {
    active_mode->call(op, stack, compute);
  }
}

TORCH_LIBRARY_IMPL(_, Fake, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&intercept>());
}

}  // namespace

DispatchModeScope::DispatchModeScope(DispatchMode& mode)
    : outer_(active_mode), include_(c10::DispatchKey::Fake) {
  active_mode = &mode;
}

DispatchModeScope::~DispatchModeScope() { active_mode = outer_; }

}  // namespace titan::parallel
