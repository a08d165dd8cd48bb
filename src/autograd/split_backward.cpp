#include "titan/autograd/split_backward.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

#include <typeinfo>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "titan/autograd/recomputation.h"
#include "titan/nn/linear.h"

namespace titan::autograd {

using torch::autograd::Edge;
using torch::autograd::impl::gradient_edge;

/// One product with a weight: where its result is in the graph, which keeps it without its memory, and the
/// gradient that has arrived there.
struct SplitBackward::Product {
  Edge result;
  at::Tensor weight;
  at::Tensor gradient;
};

namespace {

thread_local SplitBackward* t_call = nullptr;
thread_local bool t_saves_for_weights = false;

/// While it lives, a weight that may wait is multiplied with.
class ProductScope {
 public:
  ProductScope() { t_saves_for_weights = true; }
  ~ProductScope() { t_saves_for_weights = false; }
  ProductScope(const ProductScope&) = delete;
  ProductScope& operator=(const ProductScope&) = delete;
};

}  // namespace

std::shared_ptr<const BackwardHalves> backward_halves() {
  return t_call == nullptr ? nullptr : t_call->halves_;
}

bool is_saving_for_weights() { return t_saves_for_weights; }

SplitBackward::SplitBackward() = default;
SplitBackward::~SplitBackward() { forget(); }

/// A product's place in the graph and the hook there hold on to one another.
void SplitBackward::forget() {
  for (const auto& product : products_) *product = {};
  products_.clear();
}

SplitBackward::ForwardScope::ForwardScope(SplitBackward& call)
    : outer_(std::exchange(t_call, &call)) {}
SplitBackward::ForwardScope::~ForwardScope() { t_call = outer_; }

void SplitBackward::backward_inputs(const at::Tensor& output, const at::Tensor& gradient,
                                    const at::Tensor& input,
                                    const std::vector<at::Tensor>& parameters) {
  // A weight that is used twice (tied) would be found again behind its later use.
  std::unordered_map<const c10::TensorImpl*, int> uses;
  for (const auto& product : products_) ++uses[product->weight.unsafeGetTensorImpl()];
  std::erase_if(products_, [&](const std::shared_ptr<Product>& product) {
    const bool is_tied = uses[product->weight.unsafeGetTensorImpl()] > 1;
    if (is_tied) *product = {};
    return is_tied;
  });
  std::unordered_set<const c10::TensorImpl*> waiting;
  for (const auto& product : products_) waiting.insert(product->weight.unsafeGetTensorImpl());
  std::vector<at::Tensor> leaves;
  if (input.defined() && input.requires_grad()) leaves.push_back(input);
  for (const at::Tensor& parameter : parameters) {
    if (parameter.requires_grad() && !waiting.contains(parameter.unsafeGetTensorImpl())) {
      leaves.push_back(parameter);
    }
  }
  // Without a leaf - a first stage of nothing but weights that wait - nobody needs this half by itself, and autograd takes an
  // empty list for all leaves: it is the whole backward.
  const bool is_all = leaves.empty();
  if (is_all) forget();
  halves_->first_runs = !is_all;
  torch::autograd::backward({output}, {gradient}, /*retain_graph=*/!is_all, /*create_graph=*/false,
                            leaves);
  halves_->first_runs = false;
}

void SplitBackward::backward_weights() {
  // Each by itself: the graph behind one product leads on to those of earlier ones, whose gradients are here already.
  for (auto product = products_.rbegin(); product != products_.rend(); ++product) {
    const auto& [result, weight, gradient] = **product;
    if (!gradient.defined()) continue;  // nothing of the output depends on it
    torch::autograd::Engine::get_default_engine().execute(
        {result}, {gradient}, /*keep_graph=*/false, /*create_graph=*/false,
        /*accumulate_grad=*/true, {gradient_edge(weight)});
  }
  forget();
}

void let_weights_wait(nn::Module& model) {
  for (const auto& [name, module] : model.named_modules()) {
    if (typeid(*module) != typeid(nn::Linear)) continue;
    auto* linear = static_cast<nn::Linear*>(module);
    linear->multiply_apart();
    module->wrap_forward([linear](const nn::Module::Forward& multiply, const nn::Inputs& inputs) {
      const at::Tensor& weight = linear->weight().tensor;
      const bool may_wait = t_call != nullptr && c10::GradMode::is_enabled() && !is_recomputing() &&
                            weight.requires_grad();
      if (!may_wait) return multiply(inputs);
      nn::Tensors outputs = [&] {
        const ProductScope scope;
        return multiply(inputs);
      }();
      if (!outputs.at(0).requires_grad()) return outputs;
      const auto product = std::make_shared<SplitBackward::Product>(
          SplitBackward::Product{gradient_edge(outputs[0]), weight, {}});
      outputs[0].register_hook(
          [product](const at::Tensor& gradient) { product->gradient = gradient; });
      t_call->products_.push_back(product);
      return outputs;
    });
  }
}

}  // namespace titan::autograd
