#include "titan/models/llama4/args.h"

namespace titan::models::llama4 {

namespace {

constexpr nn::RopeScaling kScaling = {
    .scaling_factor = 16.0, .low_freq_factor = 1.0, .high_freq_factor = 1.0};

TransformerModelArgs debugmodel() {
  TransformerModelArgs args;
  args.dim = 256;
  args.n_layers = 6;
  args.n_heads = 16;
  args.vocabulary = 2048;
  args.rope_theta = 500000;
  args.rope_scaling = kScaling;
  return args;
}

/// The debug model's vocabulary with few parameters; every kind of layer: dense and with experts, rotating and not.
TransformerModelArgs tiny() {
  TransformerModelArgs args = debugmodel();
  args.dim = 32;
  args.n_layers = 4;
  args.n_heads = 4;
  args.n_kv_heads = 2;
  args.multiple_of = 16;
  args.max_seq_len = 4096;
  args.moe.num_experts = 4;
  return args;
}

TransformerModelArgs large(std::int64_t experts) {
  TransformerModelArgs args;
  args.dim = 5120;
  args.n_layers = 48;
  args.n_heads = 40;
  args.n_kv_heads = 8;
  args.ffn_dim_multiplier = 1.2;
  args.multiple_of = 2048;
  args.rope_theta = 500000;
  args.moe.num_experts = experts;
  return args;
}

/// 16 experts in every layer, for ten million tokens.
TransformerModelArgs scout() {
  TransformerModelArgs args = large(16);
  args.rope_scaling = kScaling;
  args.max_seq_len = 10485760;
  args.interleave_moe_layer_step = 1;
  return args;
}

/// With interleaved attention: every fourth layer sees everything, without positions.
TransformerModelArgs irope(TransformerModelArgs args, std::int64_t block) {
  args.every_n_layers_nope = 4;
  args.fixed_attn_block_size = block;
  args.document_mask = true;
  return args;
}

}  // namespace

std::map<std::string, std::shared_ptr<const protocols::ModelArgs>> flavors() {
  const std::map<std::string, TransformerModelArgs> all = {
      {"debugmodel", debugmodel()},
      {"debugmodel_irope", irope(debugmodel(), 256)},
      {"tiny", tiny()},
      {"tiny_irope", irope(tiny(), 8)},
      {"17bx16e", scout()},
      {"17bx16e_irope", irope(scout(), 8192)},
      {"17bx128e", large(128)},
      {"17bx128e_irope", irope(large(128), 8192)},
  };
  std::map<std::string, std::shared_ptr<const protocols::ModelArgs>> result;
  for (const auto& [name, args] : all) {
    result[name] = std::make_shared<const TransformerModelArgs>(args);
  }
  return result;
}

}  // namespace titan::models::llama4
