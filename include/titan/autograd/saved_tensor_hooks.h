#pragma once

#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <functional>
#include <memory>

namespace titan::autograd {

/// What replaces one tensor that autograd saves for backward: `call_pack_hook` gets it,
/// `call_unpack_hook` gives it back.
using SavedTensorHooks = torch::autograd::SavedVariableHooks;
using SavedTensorHooksFactory = std::function<std::unique_ptr<SavedTensorHooks>()>;

/// While it lives, every tensor that autograd saves on this thread goes through a fresh object of
/// `factory`; the innermost scope wins. The C++ twin of torch.autograd.graph.saved_tensors_hooks.
class SavedTensorHooksScope {
 public:
  explicit SavedTensorHooksScope(SavedTensorHooksFactory factory);
  ~SavedTensorHooksScope();
  SavedTensorHooksScope(const SavedTensorHooksScope&) = delete;
  SavedTensorHooksScope& operator=(const SavedTensorHooksScope&) = delete;
};

}  // namespace titan::autograd
