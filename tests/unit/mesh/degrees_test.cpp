#include "titan/mesh/degrees.h"

#include <gtest/gtest.h>

#include <limits>

namespace titan::mesh {
namespace {

constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

TEST(Degrees, AreResolvedForAWorld) {
  EXPECT_EQ(resolved({.dp_replicate = 2, .tp = 2}, 8),
            (Degrees{.dp_replicate = 2, .dp_shard = 2, .tp = 2}));
  EXPECT_EQ(resolved({.dp_shard = 4, .ep = 3}, 4), (Degrees{.dp_shard = 4, .ep = 3}));
  EXPECT_EQ(resolved({.dp_shard = 4}, 8), std::nullopt);
  EXPECT_EQ(resolved({.tp = 3}, 8), std::nullopt);
  EXPECT_EQ(resolved({.tp = 16}, 8), std::nullopt);
  EXPECT_EQ(resolved({.tp = 2, .pp = kHuge}, kHuge), std::nullopt);
  EXPECT_EQ(resolved({}, kHuge)->dp_shard, kHuge);
}

TEST(Degrees, ReplicasAreShardedOrWithoutStages) {
  EXPECT_TRUE(replicas_fit({.dp_replicate = 4, .dp_shard = 1}));
  EXPECT_TRUE(replicas_fit({.dp_replicate = 1, .dp_shard = 1, .tp = 4, .pp = 2}));
  EXPECT_TRUE(replicas_fit({.dp_replicate = 2, .dp_shard = 2, .tp = 4}));
  EXPECT_TRUE(replicas_fit({.dp_replicate = 2, .dp_shard = 1, .cp = 2, .tp = 4}));
  EXPECT_TRUE(replicas_fit({.dp_replicate = 2, .dp_shard = 1, .tp = 2}));
  EXPECT_FALSE(replicas_fit({.dp_replicate = 2, .dp_shard = 1, .pp = 2}));
}

TEST(Degrees, SequencesSplitOverTensorAndTwiceContext) {
  EXPECT_TRUE(sequences_divide({.cp = 4, .tp = 2}, 16));
  EXPECT_FALSE(sequences_divide({.cp = 4, .tp = 2}, 8));
  EXPECT_FALSE(sequences_divide({}, 3)) << "also without context parallelism";
  EXPECT_FALSE(sequences_divide({.cp = kHuge, .tp = kHuge}, 4096));
  EXPECT_FALSE(sequences_divide({.tp = kHuge}, kHuge));
}

}  // namespace
}  // namespace titan::mesh
