#include "titan/nn/module.h"

#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "titan/base/errors.h"

namespace titan::nn {

namespace {

std::string joined(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

}  // namespace

Tensors Module::operator()(Tensors inputs) {
  for (const auto& hook : pre_forward_hooks_) hook(*this, inputs);
  Tensors outputs = run_wrapped(inputs, wrappers_.size());
  for (const auto& hook : post_forward_hooks_) hook(*this, inputs, outputs);
  return outputs;
}

Tensors Module::run_wrapped(const Tensors& inputs, std::size_t wrapper_count) {
  if (wrapper_count == 0) return forward(inputs);
  const Forward inner = [this, wrapper_count](const Tensors& in) {
    return run_wrapped(in, wrapper_count - 1);
  };
  return wrappers_[wrapper_count - 1](inner, inputs);
}

void Module::add_pre_forward_hook(PreForwardHook hook) {
  pre_forward_hooks_.push_back(std::move(hook));
}

void Module::add_post_forward_hook(PostForwardHook hook) {
  post_forward_hooks_.push_back(std::move(hook));
}

void Module::wrap_forward(ForwardWrapper wrapper) { wrappers_.push_back(std::move(wrapper)); }

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

std::vector<NamedTensor> Module::named_parameters() const {
  std::vector<NamedTensor> result;
  std::unordered_set<const void*> seen;
  visit("", [&](const std::string& prefix, const Module& module) {
    for (const auto& [name, parameter] : module.parameters_) {
      if (seen.insert(parameter.tensor.unsafeGetTensorImpl()).second) {
        result.push_back({joined(prefix, name), parameter.tensor});
      }
    }
  });
  return result;
}

std::vector<std::pair<std::string, Parameter*>> Module::parameter_slots() {
  std::vector<std::pair<std::string, Parameter*>> result;
  visit("", [&](const std::string& prefix, Module& module) {
    for (auto& [name, parameter] : module.parameters_) {
      result.emplace_back(joined(prefix, name), &parameter);
    }
  });
  return result;
}

std::vector<NamedTensor> Module::named_buffers() const {
  std::vector<NamedTensor> result;
  visit("", [&](const std::string& prefix, const Module& module) {
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
      if (buffer.persistent) result.push_back({joined(prefix, buffer.name), buffer.tensor});
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

void Module::to_empty(at::Device device) {
  std::unordered_map<const void*, at::Tensor> replaced;
  const auto replace = [&](at::Tensor& tensor) {
    at::Tensor& fresh = replaced[tensor.unsafeGetTensorImpl()];
    if (!fresh.defined()) {
      fresh = at::empty_like(tensor, tensor.options().device(device));
      fresh.set_requires_grad(tensor.requires_grad());
    }
    tensor = fresh;
  };
  visit("", [&](const std::string&, Module& module) {
    for (auto& [name, parameter] : module.parameters_) replace(parameter.tensor);
    for (Buffer& buffer : module.buffers_) replace(buffer.tensor);
  });
}

Parameter& Module::add_parameter(std::string name, at::Tensor tensor) {
  tensor.set_requires_grad(true);
  parameters_.emplace_back(std::move(name), Parameter{std::move(tensor), std::nullopt});
  return parameters_.back().second;
}

at::Tensor& Module::add_buffer(std::string name, at::Tensor tensor, bool persistent) {
  buffers_.push_back({std::move(name), std::move(tensor), persistent});
  return buffers_.back().tensor;
}

Tensors ModuleList::forward(const Tensors&) {
  throw InternalError("a list of modules cannot be called; call its members");
}

}  // namespace titan::nn
