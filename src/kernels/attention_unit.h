#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace titan::kernels {

/// Whether attention of these goes to the processor's unit for bf16 tiles: tensors in bf16 as they are, in fp32 in split numbers.
bool takes_attention_unit(const at::Tensor& query, double scale);

/// Output `[B, Q, H, E]` and lse `[B, H, Q]`, as kernels::attention describes them.
std::tuple<at::Tensor, at::Tensor> attention_unit(const at::Tensor& query, const at::Tensor& key,
                                                  const at::Tensor& value,
                                                  const std::optional<at::Tensor>& allowed,
                                                  bool is_causal, double scale);

/// Room for the gradient of x, which lies as x does: token by token, where a projection has made it.
at::Tensor room_for_gradient(const at::Tensor& x);

/// Gradients of query, key and value, which lie as those do. gradient and output `[B, Q, H, E]`.
std::tuple<at::Tensor, at::Tensor, at::Tensor> attention_backward_unit(
    const at::Tensor& gradient, const std::optional<at::Tensor>& lse_gradient,
    const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
    const at::Tensor& output, const at::Tensor& lse, const std::optional<at::Tensor>& allowed,
    bool is_causal, double scale);

}  // namespace titan::kernels
