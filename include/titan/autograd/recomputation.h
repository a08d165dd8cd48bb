#pragma once

namespace titan::autograd {

/// While it lives, what this thread runs is a forward that backward runs again for the tensors it needs.
class RecomputationScope {
 public:
  RecomputationScope();
  ~RecomputationScope();
  RecomputationScope(const RecomputationScope&) = delete;
  RecomputationScope& operator=(const RecomputationScope&) = delete;
};

/// Whether this thread runs such a forward now: layers that have told autograd of a call at its first run
/// must not do it again.
bool is_recomputing();

}  // namespace titan::autograd
