#pragma once

#include <ATen/core/Tensor.h>

namespace titan::kernels {

/// The matrices of all experts of a layer: `up` and `gate` `[experts, hidden, dim]`, `down` `[experts, dim, hidden]`.
struct ExpertWeights {
  at::Tensor gate;
  at::Tensor down;
  at::Tensor up;
};

/// Whether `experts` takes these: fp32 on the CPU, outside of autocast.
bool takes_experts(const at::Tensor& rows, const ExpertWeights& weights);

/// down(silu(gate x) ⊙ up x), each row x by its own expert: `rows` `[R, dim]` are those of expert 0, then those of expert 1, ...;
/// `counts` int64 `[experts]` says how many each has, any of them none, R in all. Returns `[R, dim]`; differentiable. One expert
/// after the other, so that what is between the products is still in the cache; backward makes it again from what gate and up
/// gave. The products are on the library that `products()` says; the same bits for any number of threads.
at::Tensor experts(const at::Tensor& rows, const ExpertWeights& weights, const at::Tensor& counts);

}  // namespace titan::kernels
