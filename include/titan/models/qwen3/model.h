#pragma once

#include "titan/models/qwen3/args.h"
#include "titan/protocols/decoder.h"

namespace titan::models::qwen3 {

class TransformerBlock : public protocols::DecoderBlock {
 public:
  TransformerBlock(std::int64_t layer_id, const Qwen3ModelArgs& args, at::ScalarType dtype);
};

/// Qwen 3, dense or with experts.
class Qwen3Model : public protocols::Decoder {
 public:
  Qwen3Model(const Qwen3ModelArgs& args, at::ScalarType dtype);

 protected:
  at::Tensor make_rotations(at::Device device) const override;

 private:
  Qwen3ModelArgs args_;
};

}  // namespace titan::models::qwen3
