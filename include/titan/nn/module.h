#pragma once

#include <ATen/core/Tensor.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "titan/nn/parameter.h"

namespace titan::nn {

/// What a module is called with and what it returns. An undefined tensor stands for "none".
using Tensors = std::vector<at::Tensor>;

/// A parameter or buffer with its fully qualified name, e.g. `layers.0.attention.wq.weight`.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// A node of the model tree: named parameters, buffers and children in insertion order.
///
/// Modules are built on the meta device, which allocates nothing and draws no random numbers.
/// `to_empty` allocates; the model's `init_weights` fills. Calling a module runs its pre-forward
/// hooks, its forward, its post-forward hooks; parallelism is attached through those and never
/// changes a model's code. A module belongs to one rank, hence to one thread at a time.
class Module {
 public:
  using Forward = std::function<Tensors(const Tensors& inputs)>;
  /// May replace inputs (gather, cast) before forward sees them.
  using PreForwardHook = std::function<void(Module&, Tensors& inputs)>;
  /// May replace outputs before the caller sees them.
  using PostForwardHook = std::function<void(Module&, const Tensors& inputs, Tensors& outputs)>;
  /// Decides how to run forward: once now and once more in backward, for example.
  using ForwardWrapper = std::function<Tensors(const Forward& forward, const Tensors& inputs)>;

  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// Hooks, forward, hooks.
  Tensors operator()(Tensors inputs);
  /// The same for a module with one output.
  template <class... Inputs>
  at::Tensor call(const Inputs&... inputs) {
    return (*this)(Tensors{inputs...}).at(0);
  }

  void add_pre_forward_hook(PreForwardHook hook);
  void add_post_forward_hook(PostForwardHook hook);
  /// Wraps forward (not the hooks); a later wrapper is outside an earlier one.
  void wrap_forward(ForwardWrapper wrapper);

  /// All parameters below this module, depth first in insertion order: the optimizer's and the
  /// reference's order. A parameter that two modules share (tied weights) is listed once, under its
  /// first name.
  std::vector<NamedTensor> named_parameters() const;
  /// Every place that holds a parameter, in the same order; tied parameters have several. Wrappers put
  /// shards into them and exchange them for full tensors while a module runs.
  std::vector<std::pair<std::string, Parameter*>> parameter_slots();
  /// All buffers, persistent or not, in the same order.
  std::vector<NamedTensor> named_buffers() const;
  /// Those that checkpoints hold.
  std::vector<NamedTensor> persistent_buffers() const;
  /// This module and all below it with their names; the root's name is empty.
  std::vector<std::pair<std::string, Module*>> named_modules();
  /// Direct children.
  std::vector<std::pair<std::string, Module*>> named_children() const;
  /// The module at a dotted path. Throws InternalError when there is none.
  Module& submodule(const std::string& path);

  /// Replaces every parameter and buffer by an uninitialised one on `device`. Tied parameters stay
  /// tied.
  void to_empty(at::Device device);

 protected:
  /// `inputs` as the caller passed them, after the pre-forward hooks.
  virtual Tensors forward(const Tensors& inputs) = 0;

  /// Registers a trainable parameter. The reference stays valid; hooks may exchange the tensor
  /// behind it.
  Parameter& add_parameter(std::string name, at::Tensor tensor);
  /// Registers a tensor that is computed, not trained. Only persistent buffers are saved in
  /// checkpoints.
  at::Tensor& add_buffer(std::string name, at::Tensor tensor, bool persistent);
  /// Takes ownership of a child and returns it.
  template <class Child>
  Child* add_child(std::string name, std::unique_ptr<Child> child) {
    Child* raw = child.get();
    children_.emplace_back(std::move(name), std::move(child));
    return raw;
  }

 private:
  struct Buffer {
    std::string name;
    at::Tensor tensor;
    bool persistent;
  };
  void visit(const std::string& prefix,
             const std::function<void(const std::string&, Module&)>& visitor);
  void visit(const std::string& prefix,
             const std::function<void(const std::string&, const Module&)>& visitor) const;
  Tensors run_wrapped(const Tensors& inputs, std::size_t wrapper_count);

  // A deque keeps references valid while it grows.
  std::deque<std::pair<std::string, Parameter>> parameters_;
  std::deque<Buffer> buffers_;
  std::vector<std::pair<std::string, std::unique_ptr<Module>>> children_;
  std::vector<PreForwardHook> pre_forward_hooks_;
  std::vector<PostForwardHook> post_forward_hooks_;
  std::vector<ForwardWrapper> wrappers_;
};

/// An ordered list of modules named "0", "1", ... (the reference's ModuleDict of layers). It is
/// never called itself.
class ModuleList : public Module {
 public:
  template <class Child>
  Child* append(std::unique_ptr<Child> child) {
    return add_child(std::to_string(named_children().size()), std::move(child));
  }

 protected:
  Tensors forward(const Tensors& inputs) override;
};

}  // namespace titan::nn
