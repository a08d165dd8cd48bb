#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "titan/parallel/checkpoint_forward.h"

namespace titan::parallel {

/// Whether the result of a call is kept, asked of every operator of a pass over a block, in order. Both passes meet
/// the same operators in the same order, so two of them decide alike.
using KeepDecision = std::function<bool(const std::string& name, const c10::OperatorHandle& op,
                                        const torch::jit::Stack& stack)>;

/// Results kept by forward, by operator, oldest first.
class KeptResults {
 public:
  /// The results on top of the stack, for one call more of `name`.
  void keep(const std::string& name, const torch::jit::Stack& stack, std::size_t count);
  void keep(const std::string& name, torch::jit::Stack results);
  /// The oldest of `name`, which is then gone; nothing when there is none.
  std::optional<torch::jit::Stack> take(const std::string& name);

 private:
  std::unordered_map<std::string, std::deque<torch::jit::Stack>> by_operator_;
};

/// The results on top of the stack without their place in the autograd graph, which would otherwise
/// own itself through the frame.
torch::jit::Stack aliases_of_results(const torch::jit::Stack& stack, std::size_t count);

/// Whether something was copied from the device to the host: what waits for the device is not done twice.
bool is_copy_to_host(const std::string& name, const c10::OperatorHandle& op,
                     const torch::jit::Stack& stack);

std::shared_ptr<autograd::DispatchMode> keeping_mode(KeepDecision decision,
                                                     std::shared_ptr<KeptResults> kept);
std::shared_ptr<autograd::DispatchMode> reusing_mode(KeepDecision decision,
                                                     std::shared_ptr<KeptResults> kept);

}  // namespace titan::parallel
