#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "titan/comm/process_group.h"

namespace titan::comm {

// Matrix products that go on while what they need, or what they have made, is on its way: between any two
// ranks a part of its own, and each part is multiplied when it is there. The results are those of the
// collective and the product one after the other: sums over ranks are taken in rank order (where the back
// end's reduce-scatter does so, bit for bit, as far as the products of parts have the bits of the product of
// all). Differentiable; backward overlaps likewise, and behind the gradients of the weights. All ranks call them
// together, in backward too. x is `[..., features]`, the dimension that is cut is not its last, and a multiple
// of the number of ranks; `group` outlives the graph. `fast`: products are made as kernels::linear makes them (kernels/layers.h), else as
// at::linear does. The idea: Wang et al. 2023, and PyTorch's async TP.

struct GatheredProducts {
  at::Tensor whole;                  // all ranks' parts of x, in rank order
  std::vector<at::Tensor> products;  // whole Wᵀ for each weight
};
/// `all_gather(part, dim, group)`, and its products with weights `[out, features]`.
GatheredProducts all_gather_linear(const at::Tensor& part, const std::vector<at::Tensor>& weights,
                                   std::int64_t dim, ProcessGroup& group, bool fast = false);

/// `reduce_scatter(x Wᵀ, dim, group)`. An operator ("titan::linear_reduce_scatter") to whoever watches operators.
at::Tensor linear_reduce_scatter(const at::Tensor& x, const at::Tensor& weight, std::int64_t dim,
                                 ProcessGroup& group, bool fast = false);

}  // namespace titan::comm
