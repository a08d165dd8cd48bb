#pragma once

#include "titan/models/llama3/args.h"
#include "titan/protocols/decoder.h"

namespace titan::models::llama3 {

class TransformerBlock : public protocols::DecoderBlock {
 public:
  TransformerBlock(std::int64_t layer_id, const TransformerModelArgs& args, at::ScalarType dtype);
};

/// Llama 3.
class Transformer : public protocols::Decoder {
 public:
  Transformer(const TransformerModelArgs& args, at::ScalarType dtype);

  bool attends_within_documents() const override {
    return args_.attn_mask_type == AttentionMaskType::kBlockCausal;
  }
  nn::AttentionMask document_mask(const at::Tensor& documents, at::ScalarType compute_dtype,
                                  at::DeviceType kernels) const override;

 protected:
  at::Tensor make_rotations(at::Device device) const override;

 private:
  TransformerModelArgs args_;
};

}  // namespace titan::models::llama3
