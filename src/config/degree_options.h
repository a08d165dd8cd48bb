#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "titan/mesh/degrees.h"

namespace titan::config {

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

}  // namespace titan::config
