#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "titan/config/distributed.h"

namespace titan::config {

/// The degrees of a job, in the order of `kDegreeNames`. The product of the first `kRankDegrees` is
/// the world size; the experts' degrees split the ranks of shard, context and tensor parallelism.
using Layout = std::array<std::int64_t, 7>;
enum Degree : std::size_t {
  kReplicate,
  kShard,
  kContext,
  kTensor,
  kPipeline,
  kExpert,
  kExpertTensor
};
inline constexpr std::size_t kRankDegrees = 5;

inline constexpr std::array<std::string_view, 7> kDegreeNames = {
    "data_parallel_replicate_degree", "data_parallel_shard_degree", "context_parallel_degree",
    "tensor_parallel_degree",         "pipeline_parallel_degree",   "expert_parallel_degree",
    "expert_tensor_parallel_degree"};

/// The degrees as set; data_parallel_shard_degree may be -1.
Layout layout_as_set(const Parallelism& parallelism);

/// The degrees for `world_size` ranks with -1 replaced, or nothing when they do not make it. Says
/// nothing about experts.
std::optional<Layout> resolved_layout(const Parallelism& parallelism, std::int64_t world_size);

/// Whether the experts' degrees split their ranks: `expert * expert_tensor` divides them.
bool experts_divide(const Layout& layout);
/// Whether expert tensor parallelism is off, without experts, or that of the rest of the model.
bool expert_tensor_fits(const Layout& layout);
/// Whether replicas without shards (DDP) are the only parallelism, as they must be.
bool replicas_fit(const Layout& layout);

/// Up to three layouts for `world_size` ranks and this sequence length that keep every rule on
/// degrees, change the fewest of them, and those the least. None for more than 2^24 ranks.
std::vector<Layout> nearest_layouts(const Parallelism& parallelism, std::int64_t world_size,
                                    std::int64_t seq_len);

/// "data_parallel_shard_degree=8, tensor_parallel_degree=8"; degrees of 1 are left out.
std::string layout_text(const Layout& layout);

}  // namespace titan::config
