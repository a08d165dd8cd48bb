#pragma once

#include <ATen/core/Tensor.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "titan/nn/parameter.h"
#include "titan/nn/sequence_info.h"

namespace titan::nn {

/// Tensors that a module takes or returns. An undefined tensor stands for "none".
using Tensors = std::vector<at::Tensor>;

/// What a module is called with. A module says what its tensors are, by place; what is common to all
/// layers is in `sequence`, which may be null: plain causal text from its beginning.
struct Inputs {
  Inputs() = default;
  Inputs(Tensors tensors_, SharedSequence sequence_ = nullptr)
      : tensors(std::move(tensors_)), sequence(std::move(sequence_)) {}

  const at::Tensor& at(std::size_t place) const { return tensors.at(place); }

  Tensors tensors;
  SharedSequence sequence;
};

/// A buffer with its fully qualified name, e.g. `freqs_cis`.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
  bool here = true;  // or another pipeline stage has it, and `tensor` has no memory
};

/// A parameter with its fully qualified name, e.g. `layers.0.attention.wq.weight`.
struct NamedParameter {
  std::string name;
  Parameter* parameter;

  const at::Tensor& tensor() const { return parameter->tensor; }
};

/// A node of the model tree: named parameters, buffers and children in insertion order.
///
/// Modules are built on the meta device, which allocates nothing and draws no random numbers.
/// `to_empty` allocates; the model's `init_weights` fills. A call passes the layers of an onion on its way
/// in and, in reverse, on its way out; forward is its heart. Parallelism is attached as such layers and
/// never changes a model's code. A module belongs to one rank, hence to one thread at a time.
class Module {
 public:
  using Forward = std::function<Tensors(const Inputs& inputs)>;
  /// A layer: runs what is inside of it (`forward`), once, twice or not at all.
  using Layer = std::function<Tensors(const Forward& forward, const Inputs& inputs)>;
  /// May replace inputs (gather, cast) before what is inside sees them.
  using PreForwardHook = std::function<void(Module&, Inputs& inputs)>;
  /// May replace outputs before what is outside sees them.
  using PostForwardHook = std::function<void(Module&, const Inputs& inputs, Tensors& outputs)>;

  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// The layers, and forward within.
  Tensors operator()(const Inputs& inputs);
  /// The same for a module with one output.
  at::Tensor call(const at::Tensor& input, SharedSequence sequence = nullptr) {
    return (*this)({{input}, std::move(sequence)}).at(0);
  }

  /// Puts another layer around all that there are: what is applied last is outermost.
  void wrap_forward(Layer layer);
  /// A layer that does something on the way in.
  void add_pre_forward_hook(PreForwardHook hook);
  /// A layer that does something on the way out.
  void add_post_forward_hook(PostForwardHook hook);

  /// The parameters below this module that this rank has (`Parameter::here`), each once under its first
  /// name, depth first in insertion order: the optimizer's and the reference's order.
  std::vector<NamedParameter> named_parameters() const;
  /// Every name of every parameter, in the same order: tied ones have several, and those that are not here
  /// are among them. Checkpoints know a parameter under each of its names.
  std::vector<NamedParameter> parameter_names() const;
  /// The buffers that this rank has, persistent or not, in the same order.
  std::vector<NamedTensor> named_buffers() const;
  /// Those that checkpoints hold, also where they are not here.
  std::vector<NamedTensor> persistent_buffers() const;
  /// This module and all below it with their names, depth first; the root's name is empty.
  std::vector<std::pair<std::string, Module*>> named_modules();
  /// Direct children.
  std::vector<std::pair<std::string, Module*>> named_children() const;
  /// The module at a dotted path. Throws InternalError when there is none.
  Module& submodule(const std::string& path);

  /// Makes the parameter `name` of this module one with `source`'s of that name: tied weights.
  void tie_parameter(const std::string& name, Module& source, const std::string& source_name);
  /// Leaves this module to another pipeline stage: its parameters are not here, its buffers keep no memory,
  /// and a call gives its first input back. For a model on the meta device.
  void leave_to_other_stage();
  /// Whether it was not left to another stage.
  bool is_here() const { return here_; }

  /// Replaces every parameter and buffer that is here by an uninitialised one on `device`.
  void to_empty(at::Device device);

 protected:
  /// `inputs` as the innermost layer passes them.
  virtual Tensors forward(const Inputs& inputs) = 0;

  /// Where a module finds its parameter; stays valid, though the parameter may become another's by tying.
  using ParameterSlot = std::shared_ptr<Parameter>;
  /// Registers a trainable parameter. Layers may exchange the tensor in it.
  ParameterSlot& add_parameter(std::string name, at::Tensor tensor);
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
  Tensors run_layers(std::size_t count, const Inputs& inputs);
  ParameterSlot& slot(const std::string& name);

  // A deque keeps references valid while it grows.
  std::deque<std::pair<std::string, ParameterSlot>> parameters_;
  std::deque<Buffer> buffers_;
  std::vector<std::pair<std::string, std::unique_ptr<Module>>> children_;
  std::vector<Layer> layers_;  // innermost first
  bool here_ = true;
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
  Tensors forward(const Inputs& inputs) override;
};

}  // namespace titan::nn
