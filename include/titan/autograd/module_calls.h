#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "titan/nn/module.h"

namespace titan::autograd {

/// Knows whose operators run on its thread: forward, those of the innermost of the modules that it follows; backward, of the
/// innermost whose forward has made the node of the graph that runs. Nodes are numbered as they are made, so
/// that those of a call are an interval. Made before the modules' calls and outlives them.
class ModuleCalls {
 public:
  /// Attaches itself to the module, whose operators are then `owner`'s.
  void follow(nn::Module& module, std::size_t owner);

  /// While it lives, what runs is `owner`'s: a part of a step that is no module's call.
  class Scope {
   public:
    Scope(ModuleCalls& calls, std::size_t owner);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    ModuleCalls& calls_;
    std::uint64_t first_node_;
  };

  /// Whether one of them runs forward, for the first time or again.
  bool is_forward() const { return !running_.empty(); }
  /// Whose operators run now; nothing: nobody's that is followed.
  std::optional<std::size_t> owner() const;
  /// The graphs of calls so far are gone, or of no interest.
  void forget();

 private:
  /// A call that is over: it has made the nodes from `first` up to `end`.
  struct Call {
    std::size_t owner;
    std::uint64_t first;
    std::uint64_t end;
  };

  std::vector<std::size_t> running_;  // innermost last
  std::vector<Call> calls_;           // inner ones before those around them
};

}  // namespace titan::autograd
