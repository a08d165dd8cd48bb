#include "titan/autograd/dispatch_mode.h"

#include <torch/library.h>

#include "titan/base/errors.h"

namespace titan::autograd {

struct DispatchModeScope::Link {
  DispatchMode& mode;
  const Link* outer;

  static thread_local const Link* innermost;
  /// Runs `op` through this link's mode and those around it, the kernel last.
  static void call(const Link* link, const c10::OperatorHandle& op, c10::DispatchKeySet keys,
                   torch::jit::Stack* stack);
};

thread_local const DispatchModeScope::Link* DispatchModeScope::Link::innermost = nullptr;

void DispatchModeScope::Link::call(const Link* link, const c10::OperatorHandle& op,
                                   c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  static constexpr c10::DispatchKeySet kBelow(c10::DispatchKeySet::FULL_AFTER,
                                              c10::DispatchKey::Fake);
  if (link == nullptr) return op.redispatchBoxed(keys & kBelow, stack);
  link->mode.call(op, stack, [&] { call(link->outer, op, keys, stack); });
}

void DispatchModeScope::intercept(const c10::OperatorHandle& op, c10::DispatchKeySet keys,
                                  torch::jit::Stack* stack) {
  // Operators that kernels or the modes themselves call must not come back here.
  const c10::impl::ExcludeDispatchKeyGuard exclude(c10::DispatchKey::Fake);
  Link::call(Link::innermost, op, keys, stack);
}

namespace {

TORCH_LIBRARY_IMPL(_, Fake, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&DispatchModeScope::intercept>());
}

}  // namespace

DispatchModeScope::DispatchModeScope(DispatchMode& mode)
    : link_(std::make_unique<Link>(Link{mode, Link::innermost})), include_(c10::DispatchKey::Fake) {
  Link::innermost = link_.get();
}

DispatchModeScope::~DispatchModeScope() { Link::innermost = link_->outer; }

InnerOperatorsScope::InnerOperatorsScope(const DispatchMode& mode)
    : innermost_(DispatchModeScope::Link::innermost),
      excluded_(c10::impl::tls_is_dispatch_key_excluded(c10::DispatchKey::Fake)) {
  const DispatchModeScope::Link* link = innermost_;
  while (link != nullptr && &link->mode != &mode) link = link->outer;
  TITAN_CHECK(link != nullptr, "a dispatch mode that is not active looks into an operator");
  DispatchModeScope::Link::innermost = link;
  c10::impl::tls_set_dispatch_key_excluded(c10::DispatchKey::Fake, false);
}

InnerOperatorsScope::~InnerOperatorsScope() {
  c10::impl::tls_set_dispatch_key_excluded(c10::DispatchKey::Fake, excluded_);
  DispatchModeScope::Link::innermost = innermost_;
}

}  // namespace titan::autograd
