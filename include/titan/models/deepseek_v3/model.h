#pragma once

#include "titan/models/deepseek_v3/attention.h"
#include "titan/protocols/decoder.h"

namespace titan::models::deepseek_v3 {

class TransformerBlock : public protocols::DecoderBlock {
 public:
  TransformerBlock(std::int64_t layer_id, const DeepSeekV3ModelArgs& args, at::ScalarType dtype);
};

/// DeepSeek V3.
class Transformer : public protocols::Decoder {
 public:
  Transformer(const DeepSeekV3ModelArgs& args, at::ScalarType dtype);

  bool attends_within_documents() const override {
    return args_.attn_mask_type == AttentionMaskType::kBlockCausal;
  }
  nn::AttentionMask document_mask(const at::Tensor& documents, at::ScalarType compute_dtype,
                                  at::DeviceType kernels) const override;

 protected:
  at::Tensor make_rotations(at::Device device) const override;

 private:
  DeepSeekV3ModelArgs args_;
};

}  // namespace titan::models::deepseek_v3
