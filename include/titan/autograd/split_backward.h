#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "titan/nn/module.h"

namespace titan::autograd {

/// What a call whose backward has two halves tells who hands back what autograd has saved (activation checkpointing).
struct BackwardHalves {
  bool first_runs = false;
};

/// A backward in two halves: first the gradient of a model's input, then those of its weights, which nobody
/// waits for (zero-bubble pipelines; Qi et al. 2023). The second half is the products of linear layers, most of
/// the work; the gradients of other parameters, which are small, come with the first. Together they do what one
/// backward does, product by product. Of one call of a model.
class SplitBackward {
 public:
  SplitBackward();
  ~SplitBackward();
  SplitBackward(const SplitBackward&) = delete;
  SplitBackward& operator=(const SplitBackward&) = delete;

  /// While it lives, what this thread runs forward is the call.
  class ForwardScope {
   public:
    explicit ForwardScope(SplitBackward& call);
    ~ForwardScope();
    ForwardScope(const ForwardScope&) = delete;
    ForwardScope& operator=(const ForwardScope&) = delete;

   private:
    SplitBackward* outer_;
  };

  /// The first half: `output`'s gradient (undefined for a 0-dim output: 1) goes through the model. Accumulates the
  /// gradients of `input` (may be undefined), a leaf, and of those of `parameters` that do not wait.
  void backward_inputs(const at::Tensor& output, const at::Tensor& gradient,
                       const at::Tensor& input, const std::vector<at::Tensor>& parameters);
  /// The second: accumulates the gradients of the weights that wait.
  void backward_weights();

 private:
  struct Product;
  void forget();
  friend void let_weights_wait(nn::Module& model);

  friend std::shared_ptr<const BackwardHalves> backward_halves();

  std::vector<std::shared_ptr<Product>> products_;  // in the order of forward
  std::shared_ptr<BackwardHalves> halves_ = std::make_shared<BackwardHalves>();
};

/// Of the call that this thread runs forward; null: its backward is one.
std::shared_ptr<const BackwardHalves> backward_halves();
/// Whether this thread multiplies with a weight that waits: what autograd saves meanwhile, the second half needs, too.
bool is_saving_for_weights();

/// Lets the linear layers below `model` put off their weights' gradients where a SplitBackward asks for it.
/// Apply it before anything else is attached to them.
void let_weights_wait(nn::Module& model);

}  // namespace titan::autograd
