#include "parallel/overlapped_layers.h"

#include <c10/util/ScopeExit.h>

#include <memory>
#include <utility>

#include "titan/comm/overlapped_products.h"
#include "titan/nn/linear.h"
#include "titan/parallel/placement.h"

namespace titan::parallel {

namespace {

const nn::Linear& as_linear(const nn::Module& module) {
  return static_cast<const nn::Linear&>(module);
}

/// What was multiplied ahead, for the modules that will ask for it.
struct Ahead {
  at::Tensor input;
  std::vector<at::Tensor> products;
};

}  // namespace

void overlap_gather(nn::Module& module, const std::vector<nn::Module*>& linears, std::int64_t dim,
                    comm::ProcessGroup& group) {
  const auto ahead = std::make_shared<Ahead>();
  for (std::size_t i = 0; i < linears.size(); ++i) {
    linears[i]->wrap_forward(
        [ahead, i](const nn::Module::Forward& multiply, const nn::Inputs& inputs) {
          if (!ahead->input.defined() || !inputs.at(0).is_same(ahead->input)) {
            return multiply(inputs);
          }
          return nn::Tensors{std::exchange(ahead->products[i], {})};
        });
  }
  module.wrap_forward(
      [ahead, linears, dim, &group](const nn::Module::Forward& forward, const nn::Inputs& inputs) {
        std::vector<at::Tensor> weights;
        for (const nn::Module* linear : linears) {
          weights.push_back(as_linear(*linear).weight().tensor);
        }
        auto [whole, products] = comm::all_gather_linear(inputs.at(0), weights, dim, group,
                                                         as_linear(*linears.front()).is_fast());
        nn::Inputs gathered = inputs;
        gathered.tensors[0] = whole;
        *ahead = {std::move(whole), std::move(products)};
        nn::Tensors outputs = forward(gathered);
        *ahead = {};
        return outputs;
      });
}

void overlap_scatter(nn::Module& linear, std::int64_t dim, comm::ProcessGroup& group) {
  linear.wrap_forward([&linear, dim, &group](const nn::Module::Forward&, const nn::Inputs& inputs) {
    const nn::Linear& layer = as_linear(linear);
    return nn::Tensors{comm::linear_reduce_scatter(inputs.at(0), layer.weight().tensor, dim, group,
                                                   layer.is_fast())};
  });
}

}  // namespace titan::parallel
