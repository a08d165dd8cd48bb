#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "titan/nn/sequence_info.h"

namespace titan::nn {

/// Confines attention to blocks of fixed length: the query at place i of a text sees the keys at places of the same block,
/// i / length, as far as its sequence's mask lets it (Llama 4's chunked attention). Shared by the layers that attend so: what was
/// made for a sequence is kept until another one comes. Any number of threads.
class BlockMasks {
 public:
  explicit BlockMasks(std::int64_t length) : length_(length) {}

  /// The sequence with its mask confined; itself where all keys are in one block. `rows` of `queries` tokens, which are the
  /// last of `keys` many, or those that a sequence that is a part says they are.
  SharedSequence confine(const SharedSequence& sequence, std::int64_t rows, std::int64_t queries,
                         std::int64_t keys, at::Device device);

 private:
  struct Kept {
    std::weak_ptr<const SequenceInfo> of;
    std::int64_t queries = 0;
    std::int64_t keys = 0;
    SharedSequence confined;
  };

  std::int64_t length_;
  std::mutex mutex_;
  Kept kept_;
};

}  // namespace titan::nn
