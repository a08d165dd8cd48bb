#include "titan/autograd/saved_tensor_hooks.h"

#include <torch/csrc/autograd/engine.h>

#include <vector>

namespace titan::autograd {

namespace {

thread_local std::vector<SavedTensorHooksFactory> factories;

/// Autograd asks its engine for the hooks of a tensor it is about to save. LibTorch's own engine
/// has none (Python's subclass has); ours asks the scopes of the current thread.
class HookedEngine : public torch::autograd::Engine {
 public:
  std::unique_ptr<SavedTensorHooks> get_default_saved_variable_hooks() override {
    return factories.empty() ? nullptr : factories.back()();
  }
};

torch::autograd::Engine& hooked_engine() {
  // Never destroyed: its device threads may outlive main.
  static auto* engine = new HookedEngine();
  return *engine;
}

/// When the program is loaded: an engine that comes after the first backward on a GPU meets the threads of the
/// one before, which serve only that.
[[maybe_unused]] const bool installed = [] {
  torch::autograd::set_default_engine_stub(&hooked_engine);
  return true;
}();

}  // namespace

SavedTensorHooksScope::SavedTensorHooksScope(SavedTensorHooksFactory factory) {
  factories.push_back(std::move(factory));
}

SavedTensorHooksScope::~SavedTensorHooksScope() { factories.pop_back(); }

}  // namespace titan::autograd
