#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "titan/config/distributed.h"

namespace titan::config {

/// The degrees whose product is the world size, in the order of `kDegreeNames`.
using Layout = std::array<std::int64_t, 5>;
enum Degree : std::size_t { kReplicate, kShard, kContext, kTensor, kPipeline };

inline constexpr std::array<std::string_view, 5> kDegreeNames = {
    "data_parallel_replicate_degree", "data_parallel_shard_degree", "context_parallel_degree",
    "tensor_parallel_degree", "pipeline_parallel_degree"};

/// The degrees as set; data_parallel_shard_degree may be -1.
Layout layout_as_set(const Parallelism& parallelism);

/// The degrees for `world_size` ranks with -1 replaced, or nothing when they do not fit.
std::optional<Layout> resolved_layout(const Parallelism& parallelism, std::int64_t world_size);

/// Up to three layouts for `world_size` ranks and this sequence length that change the fewest
/// degrees, and those the least.
std::vector<Layout> nearest_layouts(const Parallelism& parallelism, std::int64_t world_size,
                                    std::int64_t seq_len);

/// "data_parallel_shard_degree=8, tensor_parallel_degree=8"; degrees of 1 are left out.
std::string layout_text(const Layout& layout);

}  // namespace titan::config
