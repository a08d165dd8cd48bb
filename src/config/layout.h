#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "titan/mesh/degrees.h"

namespace titan::config {

struct Rules;

/// An option of [parallelism] and the degree that it sets.
struct DegreeOption {
  std::string_view name;
  std::int64_t mesh::Degrees::*degree;
};

/// The product of the first `kRankDegrees` is the world size.
inline constexpr std::array<DegreeOption, 7> kDegreeOptions = {
    {{"data_parallel_replicate_degree", &mesh::Degrees::dp_replicate},
     {"data_parallel_shard_degree", &mesh::Degrees::dp_shard},
     {"context_parallel_degree", &mesh::Degrees::cp},
     {"tensor_parallel_degree", &mesh::Degrees::tp},
     {"pipeline_parallel_degree", &mesh::Degrees::pp},
     {"expert_parallel_degree", &mesh::Degrees::ep},
     {"expert_tensor_parallel_degree", &mesh::Degrees::etp}}};
inline constexpr std::size_t kRankDegrees = 5;

/// Up to three layouts for `world_size` ranks and this sequence length that keep every rule on
/// degrees, change the fewest of those `wanted`, and those the least. None for more than 2^24 ranks.
std::vector<mesh::Degrees> nearest_layouts(const mesh::Degrees& wanted, std::int64_t world_size,
                                           std::int64_t seq_len);

/// "data_parallel_shard_degree=8, tensor_parallel_degree=8"; degrees of 1 are left out.
std::string layout_text(const mesh::Degrees& layout);

/// The rules on parallelism degrees. All broken ones are reported; the first with the nearest
/// layouts that keep them all.
void check_layout(const Rules& rules);

}  // namespace titan::config
