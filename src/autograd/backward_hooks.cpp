#include "titan/autograd/backward_hooks.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

namespace titan::autograd {

namespace {

using torch::autograd::Node;
using torch::autograd::variable_list;

/// An identity that tells when it is passed in backward.
class PassedInBackward : public Node {
 public:
  explicit PassedInBackward(std::function<void()> hook) : hook_(std::move(hook)) {}
  variable_list apply(variable_list&& gradients) override {
    hook_();
    return std::move(gradients);
  }
  std::string name() const override { return "PassedInBackward"; }

 private:
  std::function<void()> hook_;
};

class AfterGradient : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit AfterGradient(std::function<void()> hook) : hook_(std::move(hook)) {}
  void operator()(const torch::autograd::Variable&) override { hook_(); }

 private:
  std::function<void()> hook_;
};

}  // namespace

void before_backward(const nn::Tensors& outputs, const std::function<void()>& hook) {
  for (const at::Tensor& output : outputs) {
    if (!output.defined() || !output.requires_grad()) continue;
    output.register_hook([hook](const at::Tensor&) { hook(); });
  }
}

bool after_backward(nn::Tensors& inputs, const std::function<void()>& hook) {
  if (!c10::GradMode::is_enabled()) return false;
  std::vector<at::Tensor*> followed;
  for (at::Tensor& input : inputs) {
    if (input.defined() && input.requires_grad()) followed.push_back(&input);
  }
  if (followed.empty()) return false;
  const auto node = std::make_shared<PassedInBackward>(hook);
  for (at::Tensor* input : followed)
    node->add_next_edge(torch::autograd::impl::gradient_edge(*input));
  for (at::Tensor* input : followed) {
    at::Tensor alias = input->variable_data();
    torch::autograd::set_history(alias, node);
    *input = alias;
  }
  return true;
}

void at_end_of_backward(const std::function<void()>& hook) {
  torch::autograd::Engine::get_default_engine().queue_callback(hook);
}

void after_gradient(const at::Tensor& parameter, const std::function<void()>& hook) {
  torch::autograd::impl::set_post_acc_grad_hooks(parameter, std::make_unique<AfterGradient>(hook));
}

}  // namespace titan::autograd
