#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace titan::kernels {

// Rows on their way to experts and back, fp32 on the CPU. `order` int64 `[R]` says whose each row is: row r is for the k-th
// expert of token n where order[r] = n · K + k, and no two are the same. R is N · K, or less where other ranks have the rest.
// `scores` fp32 `[N, K]`; undefined: 1. Both are differentiable, by the rows and by the scores. Each token's terms are added by
// one thread, in the order of its experts: the same bits for any number of threads.

/// Whether the two take rows like these: also outside of autocast only.
bool takes_routed_rows(const at::Tensor& rows);

/// Row r is x[n] · scores[n, k]. x `[N, dim]`; returns `[R, dim]`.
at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& order, const at::Tensor& scores,
                       std::int64_t top_k);

/// y[n] is the sum of its rows, each times scores[n, k]. rows `[R, dim]`; returns `[tokens, dim]`.
at::Tensor combine_rows(const at::Tensor& rows, const at::Tensor& order, const at::Tensor& scores,
                        std::int64_t tokens, std::int64_t top_k);

}  // namespace titan::kernels
