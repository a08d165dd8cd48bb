#include "titan/autograd/module_calls.h"

#include <ATen/SequenceNumber.h>
#include <torch/csrc/autograd/function.h>

#include <algorithm>

#include "titan/autograd/recomputation.h"

namespace titan::autograd {

void ModuleCalls::follow(nn::Module& module, std::size_t owner) {
  module.wrap_forward([this, owner](const nn::Module::Forward& forward, const nn::Inputs& inputs) {
    const Scope scope(*this, owner);
    return forward(inputs);
  });
}

ModuleCalls::Scope::Scope(ModuleCalls& calls, std::size_t owner)
    : calls_(calls), first_node_(at::sequence_number::peek()) {
  calls_.running_.push_back(owner);
}

ModuleCalls::Scope::~Scope() {
  // Backward never passes the graph of a forward that it runs again.
  if (!is_recomputing()) {
    calls_.calls_.push_back({calls_.running_.back(), first_node_, at::sequence_number::peek()});
  }
  calls_.running_.pop_back();
}

std::optional<std::size_t> ModuleCalls::owner() const {
  if (!running_.empty()) return running_.back();
  const auto node = torch::autograd::get_current_node();
  if (!node) return std::nullopt;
  const std::uint64_t number = node->sequence_nr();
  const auto made_by = std::ranges::find_if(
      calls_, [&](const Call& call) { return call.first <= number && number < call.end; });
  return made_by == calls_.end() ? std::nullopt : std::optional(made_by->owner);
}

void ModuleCalls::forget() { calls_.clear(); }

}  // namespace titan::autograd
