#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "titan/config/layout.h"
#include "titan/mesh/degrees.h"

namespace titan::config {

struct Rules;

/// No degree is too large.
inline constexpr std::int64_t kAnyDegree = std::numeric_limits<std::int64_t>::max();
inline constexpr mesh::Degrees kAnyDegrees = {kAnyDegree, kAnyDegree, kAnyDegree, kAnyDegree,
                                              kAnyDegree, kAnyDegree, kAnyDegree};

/// Up to three layouts for `world_size` ranks and this sequence length that keep every rule on
/// degrees and `fits`, exceed none of `largest`, change the fewest of those `wanted`, and those the least. None for
/// more than 2^24 ranks.
std::vector<mesh::Degrees> nearest_layouts(const mesh::Degrees& wanted, std::int64_t world_size,
                                           std::int64_t seq_len, const mesh::Degrees& largest,
                                           const LayoutFits& fits = {});

/// "data_parallel_shard_degree=8, tensor_parallel_degree=8"; degrees of 1 are left out.
std::string layout_text(const mesh::Degrees& layout);

/// The rules on parallelism degrees. All broken ones are reported; the first with the nearest
/// layouts that keep them all and that the model allows.
void check_layout(const Rules& rules, const ModelLayouts& model_layouts);

}  // namespace titan::config
