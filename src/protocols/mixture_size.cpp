#include "titan/protocols/mixture_size.h"

namespace titan::protocols {

ModelSize mixture_size(const nn::Module& model, const nn::MoEArgs& moe,
                       const AttentionSize& attention, std::int64_t seq_len) {
  std::int64_t dense = 0;
  std::int64_t embedding = 0;
  std::int64_t for_all_tokens = 0;  // router and shared experts
  std::int64_t routed = 0;
  for (const nn::NamedParameter& parameter : model.named_parameters()) {
    const std::int64_t count = parameter.tensor().numel();
    const auto has = [&](const char* part) {
      return parameter.name.find(part) != std::string::npos;
    };
    if (has("embedding")) {
      embedding += count;
      dense += count;
    } else if (has("moe.shared_experts") || has("moe.router")) {
      for_all_tokens += count;
    } else if (has("moe.experts")) {
      routed += count;
    } else {
      dense += count;
    }
  }
  const std::int64_t active = for_all_tokens + routed * moe.top_k / moe.num_experts;
  ModelSize size;
  size.parameters = dense + for_all_tokens + routed;
  size.active_parameters = dense + active;
  size.flops_per_token = 6 * (dense - embedding + active) +
                         6 * attention.n_layers * attention.n_heads * attention.head_dims * seq_len;
  return size;
}

}  // namespace titan::protocols
