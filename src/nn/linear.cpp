#include "titan/nn/linear.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "titan/kernels/layers.h"

namespace titan::nn {

/// While it lives, what its layers make of x is made by the first of them that is reached.
class ProductsTogether {
 public:
  ProductsTogether(std::vector<Linear*> layers, const at::Tensor& x)
      : layers_(std::move(layers)), x_(x), outer_(std::exchange(current, this)) {}
  ~ProductsTogether() { current = outer_; }
  ProductsTogether(const ProductsTogether&) = delete;
  ProductsTogether& operator=(const ProductsTogether&) = delete;

  /// Nothing: it is none of the layers, or called with something else.
  static std::optional<at::Tensor> of(const Linear& layer, const at::Tensor& x) {
    if (current == nullptr || !x.is_same(current->x_)) return std::nullopt;
    const auto found = std::ranges::find(current->layers_, &layer);
    if (found == current->layers_.end()) return std::nullopt;
    return current->take(static_cast<std::size_t>(found - current->layers_.begin()));
  }

 private:
  at::Tensor take(std::size_t place) {
    if (products_.empty()) {
      std::vector<at::Tensor> weights;
      for (const Linear* layer : layers_) weights.push_back(layer->weight().tensor);
      products_ = kernels::linears(x_, weights);
    }
    return std::exchange(products_[place], {});
  }

  static thread_local ProductsTogether* current;

  std::vector<Linear*> layers_;
  const at::Tensor& x_;
  std::vector<at::Tensor> products_;  // that are not taken yet
  ProductsTogether* outer_;
};

thread_local ProductsTogether* ProductsTogether::current = nullptr;

/// While it lives, its layer knows what `product` was made of.
class OnSwiglu {
 public:
  OnSwiglu(const Linear& layer, const at::Tensor& gate, const at::Tensor& up,
           const at::Tensor& product)
      : layer_(layer),
        gate_(gate),
        up_(up),
        product_(product),
        outer_(std::exchange(current, this)) {}
  ~OnSwiglu() { current = outer_; }
  OnSwiglu(const OnSwiglu&) = delete;
  OnSwiglu& operator=(const OnSwiglu&) = delete;

  /// Nothing: it is another layer, or called with something else.
  static std::optional<at::Tensor> of(const Linear& layer, const at::Tensor& x) {
    if (current == nullptr || &layer != &current->layer_ || !x.is_same(current->product_)) {
      return std::nullopt;
    }
    return kernels::linear_of_swiglu(x, current->gate_, current->up_, layer.weight().tensor);
  }

 private:
  static thread_local OnSwiglu* current;

  const Linear& layer_;
  const at::Tensor& gate_;
  const at::Tensor& up_;
  const at::Tensor& product_;
  OnSwiglu* outer_;
};

thread_local OnSwiglu* OnSwiglu::current = nullptr;

Linear::Linear(std::int64_t in_features, std::int64_t out_features, at::ScalarType dtype)
    : weight_(
          add_parameter("weight", at::empty({out_features, in_features},
                                            at::TensorOptions().dtype(dtype).device(at::kMeta)))) {}

Tensors Linear::forward(const Inputs& inputs) {
  const at::Tensor& x = inputs.at(0);
  const at::Tensor& weight = weight_->tensor;
  if (!is_fast()) return {at::linear(x, weight)};
  if (const std::optional<at::Tensor> product = ProductsTogether::of(*this, x)) return {*product};
  if (const std::optional<at::Tensor> product = OnSwiglu::of(*this, x)) return {*product};
  return {kernels::linear(x, weight)};
}

std::vector<at::Tensor> call_together(const std::vector<Linear*>& layers, const at::Tensor& x) {
  const bool together = std::ranges::all_of(
      layers, [](const Linear* layer) { return layer->is_fast() && !layer->is_apart_; });
  const ProductsTogether scope(together ? layers : std::vector<Linear*>(), x);
  std::vector<at::Tensor> results;
  for (Linear* layer : layers) results.push_back(layer->call(x));
  return results;
}

at::Tensor call_on_swiglu(Linear& layer, const at::Tensor& gate, const at::Tensor& up) {
  const at::Tensor product = kernels::swiglu(gate, up);
  std::optional<OnSwiglu> scope;
  if (layer.is_fast() && !layer.is_apart_) scope.emplace(layer, gate, up, product);
  return layer.call(product);
}

}  // namespace titan::nn
