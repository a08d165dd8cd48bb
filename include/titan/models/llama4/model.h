#pragma once

#include "titan/models/llama4/args.h"
#include "titan/protocols/decoder.h"

namespace titan::models::llama4 {

class TransformerBlock : public protocols::DecoderBlock {
 public:
  /// `blocks`: what confines the attention of layers that rotate; null: nothing.
  TransformerBlock(std::int64_t layer_id, const TransformerModelArgs& args,
                   const std::shared_ptr<nn::BlockMasks>& blocks, at::ScalarType dtype);
};

/// Llama 4.
class Transformer : public protocols::Decoder {
 public:
  Transformer(const TransformerModelArgs& args, at::ScalarType dtype);

  bool attends_within_documents() const override { return args_.document_mask; }
  nn::AttentionMask document_mask(const at::Tensor& documents, at::ScalarType compute_dtype,
                                  at::DeviceType kernels) const override;

 protected:
  at::Tensor make_rotations(at::Device device) const override;

 private:
  TransformerModelArgs args_;
};

}  // namespace titan::models::llama4
