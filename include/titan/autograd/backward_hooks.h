#pragma once

#include <functional>

#include "titan/nn/module.h"

namespace titan::autograd {

/// Calls `hook` in backward when the gradient of any of these outputs is known, before it goes
/// further into the module that made them.
void before_backward(const nn::Tensors& outputs, const std::function<void()>& hook);

/// Calls `hook` in backward when the gradients of all of these inputs are known, before they go on to
/// whoever made the inputs. Exchanges the inputs for aliases. Returns false, and does nothing, when no
/// input wants a gradient.
bool after_backward(nn::Tensors& inputs, const std::function<void()>& hook);

/// Calls `hook` at the end of the backward that runs on this thread now.
void at_end_of_backward(const std::function<void()>& hook);

/// Calls `hook` in backward whenever the gradient of this leaf was accumulated.
void after_gradient(const at::Tensor& parameter, const std::function<void()>& hook);

}  // namespace titan::autograd
