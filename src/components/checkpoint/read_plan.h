#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "titan/components/checkpoint/dcp_state.h"
#include "titan/formats/dcp/dcp_metadata.h"

namespace titan::components {

/// What a wanted box and a saved chunk have in common.
struct ReadPiece {
  const StateTensor* wanted;
  std::string key;
  const formats::DcpTensor* saved;
  const formats::DcpChunk* chunk;
  std::vector<std::int64_t> from;   // where it begins in the chunk
  std::vector<std::int64_t> to;     // where it begins in the wanted box
  std::vector<std::int64_t> sizes;  // none is 0
};

/// In the order of the files. `find`: the entry of a key, or null. Throws RunError that names the keys
/// that are not there, those of other sizes, and `folder`.
std::vector<ReadPiece> make_read_plan(
    std::span<const StateTensor> tensors,
    const std::function<const formats::DcpEntry*(const std::string& key)>& find,
    const std::string& folder);

}  // namespace titan::components
