#include "comm/attention_kernels.h"

#include <ATen/SDPBackend.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_fused_sdp_choice.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <limits>
#include <optional>
#include <tuple>

#include "titan/base/errors.h"
#include "titan/kernels/attention.h"

namespace titan::comm {

using at::Tensor;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// 0 where a key may be seen, else -inf.
std::optional<Tensor> bias_of(const AttentionBlock& block) {
  if (!block.allowed.defined()) return std::nullopt;
  const Tensor bias = at::zeros(block.allowed.sizes(), block.query.options());
  return bias.masked_fill_(block.allowed.logical_not(), -kInfinity);
}

/// Kernels give any number for a query that sees nothing.
void forget_blind_queries(const AttentionBlock& block, const BlockOutput& result) {
  if (!block.allowed.defined()) return;
  const Tensor blind = block.allowed.any(-1).logical_not();  // [B or 1, 1, Q]
  result.log_sum_exp.masked_fill_(blind, -kInfinity);
  result.output.masked_fill_(blind.unsqueeze(-1), 0.0);
}

/// Our own, which keep heads next to each other.
namespace fast {

kernels::AttentionOptions options_of(const AttentionBlock& block) {
  kernels::AttentionOptions options;
  options.is_causal = block.causal;
  if (block.allowed.defined()) options.allowed = block.allowed;
  options.scale = block.scale;
  return options;
}

BlockOutput attend(const AttentionBlock& block) {
  const kernels::AttentionResult result =
      kernels::attention_forward(block.query, block.key, block.value, options_of(block));
  return {result.output.transpose(1, 2), result.lse};
}

BlockGradients attend_backward(const Tensor& gradient, const AttentionBlock& block,
                               const BlockOutput& whole) {
  const kernels::AttentionGradients result = kernels::attention_backward(
      gradient.transpose(1, 2), block.query, block.key, block.value,
      {whole.output.transpose(1, 2), whole.log_sum_exp}, options_of(block));
  return {result.query, result.key, result.value};
}

}  // namespace fast

namespace cpu {

/// As wide as queries, which the kernel wants: what is added is zero, and so is what comes of it.
Tensor widened(const Tensor& values, const AttentionBlock& block) {
  const std::int64_t missing = block.query.size(-1) - values.size(-1);
  return missing == 0 ? values : at::constant_pad_nd(values, {0, missing});
}
/// Back again, token by token in memory.
Tensor narrowed(const Tensor& wide, const AttentionBlock& block) {
  const std::int64_t width = block.value.size(-1);
  if (width == wide.size(-1)) return wide;
  return wide.narrow(-1, 0, width).transpose(1, 2).contiguous().transpose(1, 2);
}

BlockOutput attend(const AttentionBlock& block) {
  const auto [output, log_sum_exp] = at::_scaled_dot_product_flash_attention_for_cpu(
      block.query, block.key, widened(block.value, block), /*dropout_p=*/0.0, block.causal,
      bias_of(block), block.scale);
  return {narrowed(output, block), log_sum_exp};
}

BlockGradients attend_backward(const Tensor& gradient, const AttentionBlock& block,
                               const BlockOutput& whole) {
  const auto [query, key, value] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      widened(gradient, block), block.query, block.key, widened(block.value, block),
      widened(whole.output, block), whole.log_sum_exp, /*dropout_p=*/0.0, block.causal,
      bias_of(block), block.scale);
  return {query, key, narrowed(value, block)};
}

}  // namespace cpu

namespace cuda {

/// A key of its own for every query head: not all kernels share them.
AttentionBlock ungrouped(AttentionBlock block) {
  const std::int64_t sharing = block.query.size(1) / block.key.size(1);
  if (sharing == 1) return block;
  block.key = block.key.repeat_interleave(sharing, 1);
  block.value = block.value.repeat_interleave(sharing, 1);
  return block;
}

/// The gradient of keys of which `heads` were made more.
Tensor grouped(const Tensor& gradient, std::int64_t heads) {
  if (gradient.size(1) == heads) return gradient;
  return gradient.unflatten(1, {heads, gradient.size(1) / heads}).sum(2);
}

at::SDPBackend kernel_for(const AttentionBlock& block, const std::optional<Tensor>& bias) {
  const auto choice = static_cast<at::SDPBackend>(at::_fused_sdp_choice(
      block.query, block.key, block.value, bias, 0.0, block.causal, block.scale));
  if (choice == at::SDPBackend::flash_attention || choice == at::SDPBackend::efficient_attention ||
      choice == at::SDPBackend::cudnn_attention) {
    return choice;
  }
  throw RunError(concat(
      "context parallelism: none of the flash, memory-efficient and cuDNN attention kernels takes ",
      block.query.size(1), " heads of ", block.query.size(3), " and ", block.value.size(3), " in ",
      c10::toString(block.query.scalar_type()), " on this device"));
}

/// The memory-efficient kernel wants as many as make a multiple of 32 of them.
Tensor padded(const Tensor& log_sum_exp) {
  constexpr std::int64_t kMultiple = 32;
  const std::int64_t missing = (kMultiple - log_sum_exp.size(2) % kMultiple) % kMultiple;
  return at::constant_pad_nd(log_sum_exp, {0, missing}, kInfinity).contiguous();
}

/// What kernels that draw random numbers would have to be given.
Tensor no_seed(const Tensor& like) { return at::zeros({}, like.options().dtype(at::kLong)); }

BlockOutput attend(const AttentionBlock& shared) {
  const AttentionBlock block = ungrouped(shared);
  const auto& [query, key, value, causal, allowed, scale, is_fast] = block;
  const std::optional<Tensor> bias = bias_of(block);
  switch (kernel_for(block, bias)) {
    case at::SDPBackend::flash_attention: {
      const auto result =
          at::_scaled_dot_product_flash_attention(query, key, value, 0.0, causal, false, scale);
      return {std::get<0>(result), std::get<1>(result)};
    }
    case at::SDPBackend::efficient_attention: {
      const auto result = at::_scaled_dot_product_efficient_attention(
          query, key, value, bias, /*compute_log_sumexp=*/true, 0.0, causal, scale);
      return {std::get<0>(result), std::get<1>(result).narrow(2, 0, query.size(2))};
    }
    default: {
      const auto result = at::_scaled_dot_product_cudnn_attention(
          query, key, value, bias, /*compute_log_sumexp=*/true, 0.0, causal, false, scale);
      return {std::get<0>(result), std::get<1>(result).view(query.sizes().slice(0, 3))};
    }
  }
}

BlockGradients attend_backward(const Tensor& gradient, const AttentionBlock& shared,
                               const BlockOutput& whole) {
  const AttentionBlock block = ungrouped(shared);
  const auto& [query, key, value, causal, allowed, scale, is_fast] = block;
  const auto& [output, log_sum_exp] = whole;
  const std::optional<Tensor> bias = bias_of(block);
  const Tensor seed = no_seed(query);
  const Tensor none;
  BlockGradients result;
  switch (kernel_for(block, bias)) {
    case at::SDPBackend::flash_attention:
      std::tie(result.query, result.key, result.value) =
          at::_scaled_dot_product_flash_attention_backward(
              gradient, query, key, value, output, log_sum_exp.contiguous(), none, none,
              query.size(2), key.size(2), 0.0, causal, seed, seed, scale);
      break;
    case at::SDPBackend::efficient_attention: {
      const auto gradients = at::_scaled_dot_product_efficient_attention_backward(
          gradient, query, key, value, bias.value_or(none), output, padded(log_sum_exp), seed, seed,
          0.0, {true, true, true, false}, causal, scale);
      result = {std::get<0>(gradients), std::get<1>(gradients), std::get<2>(gradients)};
      break;
    }
    default:
      std::tie(result.query, result.key, result.value) =
          at::_scaled_dot_product_cudnn_attention_backward(
              gradient, query, key, value, output, log_sum_exp.contiguous().unsqueeze(-1), seed,
              seed, bias.value_or(none), none, none, query.size(2), key.size(2), 0.0, causal,
              scale);
      break;
  }
  const std::int64_t heads = shared.key.size(1);
  result.key = grouped(result.key, heads);
  result.value = grouped(result.value, heads);
  return result;
}

}  // namespace cuda

}  // namespace

BlockOutput attend(const AttentionBlock& block) {
  if (block.fast) return fast::attend(block);
  const BlockOutput result = block.query.is_cuda() ? cuda::attend(block) : cpu::attend(block);
  forget_blind_queries(block, result);
  return result;
}

BlockGradients attend_backward(const Tensor& gradient, const AttentionBlock& block,
                               const BlockOutput& whole) {
  if (block.fast) return fast::attend_backward(gradient, block, whole);
  return block.query.is_cuda() ? cuda::attend_backward(gradient, block, whole)
                               : cpu::attend_backward(gradient, block, whole);
}

}  // namespace titan::comm
