#pragma once

#include <functional>
#include <string>

#include "titan/nn/attention.h"
#include "titan/nn/embedding.h"
#include "titan/nn/feed_forward.h"
#include "titan/nn/moe/moe.h"
#include "titan/protocols/model.h"

namespace titan::protocols {

// What decoder-only language models compute alike. A model says which parts it has, in the reference's order: the order of
// its parameters' names is that of sums over all of them.

/// One layer: x + Attention(norm(x)), then + FeedForward(norm(.)) or + MoE(norm(.)). Called with {x `[B, S, dim]`, a table
/// of rotations} and the sequence.
class DecoderBlock : public nn::Module {
 public:
  void init_weights(at::Generator generator, std::optional<at::Device> buffer_device);

 protected:
  /// Projections back to `dim` begin with 0.02 / √(2 · depth).
  explicit DecoderBlock(std::int64_t depth);

  /// Without `rotates` the layer has no positions (NoPE).
  void add_attention(std::unique_ptr<nn::AttentionLayer> attention, bool rotates = true);
  // One of the two.
  void add_feed_forward(std::unique_ptr<nn::FeedForward> feed_forward);
  void add_moe(std::unique_ptr<nn::MoE> moe);
  void add_norms(std::int64_t dim, double eps, at::ScalarType dtype);

  nn::Tensors forward(const nn::Inputs& inputs) override;

 private:
  double output_std_;
  bool rotates_ = true;
  nn::AttentionLayer* attention_ = nullptr;
  nn::FeedForward* feed_forward_ = nullptr;  // or
  nn::MoE* moe_ = nullptr;
  nn::RMSNorm* attention_norm_ = nullptr;
  nn::RMSNorm* ffn_norm_ = nullptr;
};

struct DecoderParts {
  std::int64_t dim = 0;
  std::int64_t vocabulary = 0;
  std::int64_t n_layers = 0;
  /// Of the last norm.
  double norm_eps = 0;
  /// The output layer's weight is the embedding's.
  bool tied = false;
  at::ScalarType dtype = at::kFloat;
};

/// The buffer with the rotations of all positions, which is not saved.
struct RotationTable {
  std::string name;
  std::vector<std::int64_t> sizes;
  at::ScalarType dtype;
};

/// Embedding, layers, norm and output. Called with {tokens int64 `[B, S]`} and the sequence; returns {logits
/// `[B, S, vocab]`}.
class Decoder : public ModelProtocol {
 public:
  void init_weights(at::Generator generator, std::optional<at::Device> buffer_device) final;
  void init_buffers(std::optional<at::Device> buffer_device) final;

 protected:
  Decoder(const DecoderParts& parts, const RotationTable& rotations,
          const std::function<std::unique_ptr<DecoderBlock>(std::int64_t layer)>& make_block);

  /// What the table of rotations holds.
  virtual at::Tensor make_rotations(at::Device device) const = 0;

  nn::Tensors forward(const nn::Inputs& inputs) override;

 private:
  double output_std_;
  nn::Embedding* tok_embeddings_;
  at::Tensor& rotations_;
  nn::ModuleList* layers_;
  std::vector<DecoderBlock*> blocks_;
  nn::RMSNorm* norm_;
  nn::Linear* output_;
};

}  // namespace titan::protocols
