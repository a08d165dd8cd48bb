#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace titan::kernels {

/// Whether attention of these is computed in bf16, on the processor's unit for it; else in fp32.
bool takes_attention_bf16(const at::Tensor& query, double scale);

/// Output `[B, Q, H, E]` and lse `[B, H, Q]`, as kernels::attention describes them.
std::tuple<at::Tensor, at::Tensor> attention_bf16(const at::Tensor& query, const at::Tensor& key,
                                                  const at::Tensor& value,
                                                  const std::optional<at::Tensor>& allowed,
                                                  bool is_causal, double scale);

/// Gradients of query, key and value. gradient and output `[B, Q, H, E]`.
std::tuple<at::Tensor, at::Tensor, at::Tensor> attention_backward_bf16(
    const at::Tensor& gradient, const std::optional<at::Tensor>& lse_gradient,
    const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
    const at::Tensor& output, const at::Tensor& lse, const std::optional<at::Tensor>& allowed,
    bool is_causal, double scale);

}  // namespace titan::kernels
