#pragma once

#include <ATen/core/Tensor.h>

namespace titan::nn {

/// One matrix product per group of rows: y = x Wᵀ, each row with its own group's weight. `rows` `[R, in]` are those of group 0,
/// then those of group 1, ...; `counts` int64 `[groups]` says how many each has, any of them none, R in all; `weights`
/// `[groups, out, in]`. Returns `[R, out]`. A group without rows has a gradient of zero.
///
/// The operator "titan::grouped_product" to whoever watches operators; its derivatives are two more. On a CPU it runs the
/// products one after the other into their places, so that its results and gradients are those of single products, bit for bit.
at::Tensor grouped_product(const at::Tensor& rows, const at::Tensor& weights,
                           const at::Tensor& counts);

/// The gradient of the weights `[groups, out, in]`, from that of the result `[R, out]`: dyᵀ x, group by group.
at::Tensor grouped_product_weights_gradient(const at::Tensor& gradient, const at::Tensor& rows,
                                            const at::Tensor& counts);

}  // namespace titan::nn
