#include "titan/nn/module.h"

#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <unordered_set>

#include "titan/base/errors.h"

namespace titan::nn {

namespace {

std::string joined(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

}  // namespace

Tensors Module::operator()(const Inputs& inputs) {
  if (!here_) return {inputs.at(0)};
  return run_layers(layers_.size(), inputs);
}

Tensors Module::run_layers(std::size_t count, const Inputs& inputs) {
  if (count == 0) return forward(inputs);
  const Forward inside = [this, count](const Inputs& in) { return run_layers(count - 1, in); };
  return layers_[count - 1](inside, inputs);
}

void Module::wrap_forward(Layer layer) { layers_.push_back(std::move(layer)); }

void Module::add_pre_forward_hook(PreForwardHook hook) {
  wrap_forward([this, hook = std::move(hook)](const Forward& forward, const Inputs& inputs) {
    Inputs replaced = inputs;
    hook(*this, replaced);
    return forward(replaced);
  });
}

void Module::add_post_forward_hook(PostForwardHook hook) {
  wrap_forward([this, hook = std::move(hook)](const Forward& forward, const Inputs& inputs) {
    Tensors outputs = forward(inputs);
    hook(*this, inputs, outputs);
    return outputs;
  });
}

void Module::visit(const std::string& prefix,
                   const std::function<void(const std::string&, Module&)>& visitor) {
  visitor(prefix, *this);
  for (const auto& [name, child] : children_) child->visit(joined(prefix, name), visitor);
}

void Module::visit(const std::string& prefix,
                   const std::function<void(const std::string&, const Module&)>& visitor) const {
  visitor(prefix, *this);
  for (const auto& [name, child] : children_) {
    std::as_const(*child).visit(joined(prefix, name), visitor);
  }
}

std::vector<NamedParameter> Module::named_parameters() const {
  std::vector<NamedParameter> result;
  std::unordered_set<const Parameter*> seen;
  for (NamedParameter& named : parameter_names()) {
    if (!named.parameter->here || !seen.insert(named.parameter).second) continue;
    result.push_back(std::move(named));
  }
  return result;
}

std::vector<NamedParameter> Module::parameter_names() const {
  std::vector<NamedParameter> result;
  visit("", [&](const std::string& prefix, const Module& module) {
    for (const auto& [name, parameter] : module.parameters_) {
      result.push_back({joined(prefix, name), parameter.get()});
    }
  });
  return result;
}

std::vector<NamedTensor> Module::named_buffers() const {
  std::vector<NamedTensor> result;
  visit("", [&](const std::string& prefix, const Module& module) {
    if (!module.here_) return;
    for (const Buffer& buffer : module.buffers_) {
      result.push_back({joined(prefix, buffer.name), buffer.tensor});
    }
  });
  return result;
}

std::vector<NamedTensor> Module::persistent_buffers() const {
  std::vector<NamedTensor> result;
  visit("", [&](const std::string& prefix, const Module& module) {
    for (const Buffer& buffer : module.buffers_) {
      if (!buffer.persistent) continue;
      result.push_back({joined(prefix, buffer.name), buffer.tensor, module.here_});
    }
  });
  return result;
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() {
  std::vector<std::pair<std::string, Module*>> result;
  visit("",
        [&](const std::string& prefix, Module& module) { result.emplace_back(prefix, &module); });
  return result;
}

std::vector<std::pair<std::string, Module*>> Module::named_children() const {
  std::vector<std::pair<std::string, Module*>> result;
  for (const auto& [name, child] : children_) result.emplace_back(name, child.get());
  return result;
}

Module& Module::submodule(const std::string& path) {
  Module* module = this;
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    Module* next = nullptr;
    for (const auto& [child_name, child] : module->children_) {
      if (child_name == name) next = child.get();
    }
    TITAN_CHECK(next != nullptr, "no module at '", path, "'");
    module = next;
    begin = end + 1;
  }
  return *module;
}

Module::ParameterSlot& Module::slot(const std::string& name) {
  const auto found =
      std::ranges::find(parameters_, name, &decltype(parameters_)::value_type::first);
  TITAN_CHECK(found != parameters_.end(), "a module without a parameter '", name, "'");
  return found->second;
}

void Module::tie_parameter(const std::string& name, Module& source,
                           const std::string& source_name) {
  ParameterSlot& mine = slot(name);
  const ParameterSlot& other = source.slot(source_name);
  TITAN_CHECK(mine->full_sizes == other->full_sizes, "tied parameters of other sizes");
  mine = other;
}

void Module::leave_to_other_stage() {
  visit("", [](const std::string&, Module& module) {
    module.here_ = false;
    for (auto& [name, parameter] : module.parameters_) parameter->here = false;
  });
}

void Module::to_empty(at::Device device) {
  const auto replace = [&](at::Tensor& tensor) {
    const bool trains = tensor.requires_grad();
    tensor = at::empty_like(tensor, tensor.options().device(device));
    tensor.set_requires_grad(trains);
  };
  for (const NamedParameter& named : named_parameters()) replace(named.parameter->tensor);
  visit("", [&](const std::string&, Module& module) {
    if (!module.here_) return;
    for (Buffer& buffer : module.buffers_) replace(buffer.tensor);
  });
}

Module::ParameterSlot& Module::add_parameter(std::string name, at::Tensor tensor) {
  tensor.set_requires_grad(true);
  parameters_.emplace_back(std::move(name), std::make_shared<Parameter>(std::move(tensor)));
  return parameters_.back().second;
}

at::Tensor& Module::add_buffer(std::string name, at::Tensor tensor, bool persistent) {
  buffers_.push_back({std::move(name), std::move(tensor), persistent});
  return buffers_.back().tensor;
}

Tensors ModuleList::forward(const Inputs&) {
  throw InternalError("a list of modules cannot be called; call its members");
}

}  // namespace titan::nn
