#include "titan/models/llama3/args.h"

namespace titan::models::llama3 {

namespace {

TransformerModelArgs debugmodel() {
  TransformerModelArgs args;
  args.dim = 256;
  args.n_layers = 6;
  args.n_heads = 16;
  args.vocabulary = 2048;
  args.rope_theta = 500000;
  return args;
}

/// The debug model's vocabulary and rope with 0.1 M parameters.
TransformerModelArgs tiny() {
  TransformerModelArgs args = debugmodel();
  args.dim = 24;
  args.n_layers = 2;
  args.n_heads = 4;
  args.n_kv_heads = 2;
  args.multiple_of = 32;
  return args;
}

/// As small, with heads for tensor parallelism of up to 4 ranks: 8, of which two share a key.
TransformerModelArgs tiny_8_heads() {
  TransformerModelArgs args = tiny();
  args.dim = 32;
  args.n_heads = 8;
  args.n_kv_heads = 4;
  return args;
}

/// The same with one weight for embedding and output layer.
TransformerModelArgs tiny_tied() {
  TransformerModelArgs args = tiny_8_heads();
  args.enable_weight_tying = true;
  return args;
}

/// 10.5 M parameters and 8,192 tokens: learns a small corpus on a CPU (scripts/prepare_wiki.sh).
TransformerModelArgs wiki10m() {
  TransformerModelArgs args;
  args.dim = 256;
  args.n_layers = 8;
  args.n_heads = 8;
  args.n_kv_heads = 4;
  args.vocabulary = 8192;
  args.rope_theta = 500000;
  return args;
}

/// 88 M parameters: large enough for the speed of a CPU to show.
TransformerModelArgs bench100m() {
  TransformerModelArgs args = debugmodel();
  args.dim = 768;
  args.n_layers = 12;
  args.n_heads = 12;
  args.n_kv_heads = 12;
  return args;
}

TransformerModelArgs large(std::int64_t dim, std::int64_t n_layers, std::int64_t n_heads,
                           double ffn_dim_multiplier, std::int64_t multiple_of) {
  TransformerModelArgs args;
  args.dim = dim;
  args.n_layers = n_layers;
  args.n_heads = n_heads;
  args.n_kv_heads = 8;
  args.ffn_dim_multiplier = ffn_dim_multiplier;
  args.multiple_of = multiple_of;
  args.rope_theta = 500000;
  return args;
}

/// The shape of Llama 3.2 1B, whose output has weights of its own here: 1.5 B parameters.
TransformerModelArgs llama_1b() { return large(2048, 16, 32, 1.5, 256); }

/// The same model with attention confined to documents.
TransformerModelArgs by_document(TransformerModelArgs args, AttentionType type) {
  args.attn_type = type;
  args.attn_mask_type = AttentionMaskType::kBlockCausal;
  return args;
}

}  // namespace

std::map<std::string, std::shared_ptr<const protocols::ModelArgs>> flavors() {
  const TransformerModelArgs llama_8b = large(4096, 32, 32, 1.3, 1024);
  const std::map<std::string, TransformerModelArgs> all = {
      {"debugmodel", debugmodel()},
      {"debugmodel_flex_attn", by_document(debugmodel(), AttentionType::kFlex)},
      {"debugmodel_varlen_attn", by_document(debugmodel(), AttentionType::kVarlen)},
      {"tiny", tiny()},
      {"tiny_8_heads", tiny_8_heads()},
      {"tiny_tied", tiny_tied()},
      {"wiki10m", wiki10m()},
      {"bench100m", bench100m()},
      {"1B", llama_1b()},
      {"8B", llama_8b},
      {"8B_flex", by_document(llama_8b, AttentionType::kFlex)},
      {"8B_varlen", by_document(llama_8b, AttentionType::kVarlen)},
      {"70B", large(8192, 80, 64, 1.3, 4096)},
      {"405B", large(16384, 126, 128, 1.2, 4096)},
  };
  std::map<std::string, std::shared_ptr<const protocols::ModelArgs>> result;
  for (const auto& [name, args] : all) {
    result[name] = std::make_shared<const TransformerModelArgs>(args);
  }
  return result;
}

}  // namespace titan::models::llama3
