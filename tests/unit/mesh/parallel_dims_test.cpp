#include "titan/mesh/parallel_dims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "titan/base/errors.h"

namespace titan::mesh {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// What is wrong with the degrees; empty where nothing is.
std::string violations(const Degrees& degrees, std::int64_t world_size) {
  try {
    const ParallelDims dims(degrees, world_size);
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

TEST(ParallelDims, KeepsTheDegrees) {
  const ParallelDims dims(
      {.dp_replicate = 2, .dp_shard = 3, .cp = 5, .tp = 4, .pp = 7, .ep = 5, .etp = 4}, 840);
  EXPECT_EQ(dims.world_size(), 840);
  EXPECT_EQ(dims.degrees().dp_replicate, 2);
  EXPECT_EQ(dims.degrees().dp_shard, 3);
  EXPECT_EQ(dims.degrees().cp, 5);
  EXPECT_EQ(dims.degrees().tp, 4);
  EXPECT_EQ(dims.degrees().pp, 7);
  EXPECT_EQ(dims.degrees().ep, 5);
  EXPECT_EQ(dims.degrees().etp, 4);
}

TEST(ParallelDims, MinusOneShardsOverTheRanksThatTheOthersLeave) {
  EXPECT_EQ(ParallelDims({.dp_replicate = 2, .tp = 2}, 8).degrees().dp_shard, 2);
  EXPECT_EQ(ParallelDims({}, 1).degrees().dp_shard, 1);
  EXPECT_EQ(ParallelDims({.tp = 8, .pp = 16}, 16384).degrees().dp_shard, 128);
  EXPECT_EQ(ParallelDims({.tp = 2}, 2).degrees().dp_shard, 1);
}

TEST(ParallelDims, TheProductIsTheWorldSize) {
  EXPECT_THAT(violations({.dp_replicate = 2, .dp_shard = 2, .tp = 2}, 10),
              HasSubstr("dp_replicate(2) * dp_shard(2) * cp(1) * tp(2) * pp(1) is not the world "
                        "size 10"));
  EXPECT_THAT(violations({.dp_shard = 2}, 1), HasSubstr("is not the world size 1"));
  EXPECT_THAT(violations({.tp = 3}, 8), HasSubstr("does not divide the world size 8"));
  EXPECT_THAT(violations({.tp = 16}, 8), HasSubstr("does not divide the world size 8"));
}

TEST(ParallelDims, DegreesAreAtLeastOne) {
  for (const std::int64_t bad : {0L, -1L, std::numeric_limits<std::int64_t>::min()}) {
    EXPECT_THAT(violations({.dp_replicate = bad}, 8), HasSubstr("dp_replicate must be at least 1"));
    EXPECT_THAT(violations({.cp = bad}, 8), HasSubstr("cp must be at least 1"));
    EXPECT_THAT(violations({.tp = bad}, 8), HasSubstr("tp must be at least 1"));
    EXPECT_THAT(violations({.pp = bad}, 8), HasSubstr("pp must be at least 1"));
    EXPECT_THAT(violations({.ep = bad}, 8), HasSubstr("ep must be at least 1"));
    EXPECT_THAT(violations({.etp = bad}, 8), HasSubstr("etp must be at least 1"));
    EXPECT_THAT(violations({}, bad), HasSubstr("the world size must be at least 1"));
  }
  EXPECT_THAT(violations({.dp_shard = 0}, 8), HasSubstr("dp_shard must be -1"));
  EXPECT_THAT(violations({.dp_shard = -2}, 8), HasSubstr("dp_shard must be -1"));
}

TEST(ParallelDims, ExpertTensorParallelismIsOffOrThatOfTheRest) {
  EXPECT_EQ(violations({.tp = 4, .ep = 2, .etp = 4}, 8), "");
  EXPECT_EQ(violations({.tp = 4, .ep = 2, .etp = 1}, 8), "");
  EXPECT_THAT(violations({.tp = 4, .ep = 2, .etp = 2}, 8), HasSubstr("etp(2) must be 1 or tp(4)"));
  EXPECT_EQ(violations({.tp = 4, .ep = 1, .etp = 2}, 8), "") << "no experts, nothing to split";
}

TEST(ParallelDims, ExpertsSplitTheRanksOfShardContextAndTensor) {
  EXPECT_EQ(violations({.dp_shard = 4, .ep = 4}, 4), "");
  EXPECT_EQ(violations({.dp_shard = 2, .cp = 2, .tp = 2, .ep = 8}, 8), "");
  EXPECT_THAT(violations({.dp_shard = 4, .ep = 3}, 4),
              HasSubstr("ep(3) * etp(1) does not divide dp_shard(4) * cp(1) * tp(1) = 4"));
  EXPECT_THAT(violations({.dp_replicate = 2, .dp_shard = 2, .ep = 4}, 4), HasSubstr("ep(4)"))
      << "never across replicas";
  EXPECT_THAT(violations({.dp_shard = 2, .pp = 2, .ep = 4}, 4), HasSubstr("ep(4)"))
      << "never across stages";
  EXPECT_THAT(violations({.dp_shard = 2, .tp = 2, .ep = 4, .etp = 2}, 4), HasSubstr("ep(4)"));
}

TEST(ParallelDims, NamesAllViolationsAtOnce) {
  EXPECT_THAT(violations({.dp_replicate = 0, .cp = -3, .etp = 0}, 8),
              AllOf(HasSubstr("dp_replicate"), HasSubstr("cp"), HasSubstr("etp"),
                    HasSubstr("for 8 ranks")));
  EXPECT_THAT(violations({.tp = 3, .ep = 2, .etp = 5}, 8),
              AllOf(HasSubstr("etp(5)"), HasSubstr("does not divide the world size")));
  EXPECT_THAT(violations({.dp_shard = 4, .tp = 2, .ep = 3, .etp = 7}, 8),
              AllOf(HasSubstr("etp(7) must"), HasSubstr("ep(3) * etp(7)")));
}

TEST(ParallelDims, DegreesThatOverflowAreJustWrong) {
  constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();
  EXPECT_THAT(violations({.dp_replicate = kHuge, .cp = kHuge, .tp = kHuge}, 8),
              HasSubstr("does not divide"));
  EXPECT_THAT(violations({.dp_shard = kHuge, .pp = kHuge}, 8), HasSubstr("is not the world size"));
  EXPECT_THAT(violations({.tp = 8, .ep = kHuge, .etp = 8}, 8), HasSubstr("ep("));
  EXPECT_EQ(violations({}, kHuge), "");
  EXPECT_THAT(violations({.tp = 2, .pp = kHuge}, kHuge), HasSubstr("does not divide"));
}

TEST(ParallelDims, KnowsWhatIsOn) {
  const ParallelDims all(
      {.dp_replicate = 2, .dp_shard = 2, .cp = 2, .tp = 2, .pp = 2, .ep = 2, .etp = 2}, 32);
  EXPECT_TRUE(all.dp_enabled() && all.dp_replicate_enabled() && all.dp_shard_enabled());
  EXPECT_TRUE(all.cp_enabled() && all.dp_cp_enabled() && all.fsdp_enabled());
  EXPECT_TRUE(all.tp_enabled() && all.pp_enabled() && all.ep_enabled() && all.etp_enabled());

  const ParallelDims alone({}, 1);
  EXPECT_FALSE(alone.dp_enabled() || alone.dp_replicate_enabled() || alone.dp_shard_enabled());
  EXPECT_FALSE(alone.cp_enabled() || alone.dp_cp_enabled() || alone.fsdp_enabled());
  EXPECT_FALSE(alone.tp_enabled() || alone.pp_enabled() || alone.ep_enabled() ||
               alone.etp_enabled());

  const ParallelDims replicas({.dp_replicate = 4, .dp_shard = 1}, 4);
  EXPECT_TRUE(replicas.dp_enabled());
  EXPECT_FALSE(replicas.fsdp_enabled());

  const ParallelDims context({.dp_shard = 1, .cp = 4}, 4);
  EXPECT_FALSE(context.dp_enabled());
  EXPECT_TRUE(context.dp_cp_enabled());
  EXPECT_TRUE(context.fsdp_enabled()) << "parameters are sharded over the ranks of a sequence too";
}

TEST(ParallelDims, CountsRanksThatShareTokens) {
  EXPECT_EQ(ParallelDims({.dp_shard = 2, .cp = 3, .tp = 2, .pp = 2}, 24).non_data_parallel_size(),
            12);
  EXPECT_EQ(ParallelDims({}, 64).non_data_parallel_size(), 1);
}

TEST(ParallelDims, SequencesSplitOverTensorAndTwiceContext) {
  EXPECT_EQ(ParallelDims({.cp = 4, .tp = 2}, 8).seq_len_divisor(), 16);
  EXPECT_EQ(ParallelDims({}, 8).seq_len_divisor(), 2) << "also without context parallelism";
}

TEST(ParallelDims, OneRankHasNoMeshes) {
  const ParallelDims dims({}, 1);
  for (std::size_t i = 0; i < kMeshDimNames.size(); ++i) {
    const auto dim = static_cast<MeshDim>(i);
    EXPECT_EQ(dims.size(dim), 1) << to_string(dim);
    EXPECT_FALSE(dims.exists(dim)) << to_string(dim);
    EXPECT_THAT(dims.ranks(dim, 0), ElementsAre(0)) << to_string(dim);
  }
  EXPECT_THAT(dims.active_dims(), IsEmpty());
}

TEST(ParallelDims, EightRanksReplicatedShardedAndTensorParallel) {
  const ParallelDims dims({.dp_replicate = 2, .dp_shard = 2, .tp = 2}, 8);
  EXPECT_EQ(dims.size(MeshDim::kBatch), 4);
  EXPECT_EQ(dims.size(MeshDim::kLoss), 4);
  EXPECT_EQ(dims.size(MeshDim::kDpReplicate), 2);
  EXPECT_EQ(dims.size(MeshDim::kFsdp), 2);
  EXPECT_EQ(dims.size(MeshDim::kTp), 2);
  EXPECT_EQ(dims.size(MeshDim::kEfsdp), 4);
  EXPECT_FALSE(dims.exists(MeshDim::kEfsdp)) << "there are no experts";
  EXPECT_THAT(dims.active_dims(),
              ElementsAre(MeshDim::kBatch, MeshDim::kLoss, MeshDim::kDpReplicate, MeshDim::kFsdp,
                          MeshDim::kTp, MeshDim::kEfsdp));
  EXPECT_THAT(dims.ranks(MeshDim::kTp, 5), ElementsAre(4, 5));
  EXPECT_THAT(dims.ranks(MeshDim::kFsdp, 5), ElementsAre(5, 7));
  EXPECT_THAT(dims.ranks(MeshDim::kDpReplicate, 5), ElementsAre(1, 5));
  EXPECT_THAT(dims.ranks(MeshDim::kBatch, 5), ElementsAre(1, 3, 5, 7));
}

TEST(ParallelDims, ShardedExpertsExistWheneverThereAreExperts) {
  const ParallelDims dims({.dp_shard = 4, .ep = 4}, 4);
  EXPECT_EQ(dims.size(MeshDim::kEfsdp), 1);
  EXPECT_TRUE(dims.exists(MeshDim::kEfsdp));
  EXPECT_THAT(dims.active_dims(), Not(testing::Contains(MeshDim::kEfsdp)));
}

TEST(ParallelDims, LogsAsTheReferenceDoes) {
  const ParallelDims dims({.dp_replicate = 2, .tp = 2}, 8);
  EXPECT_EQ(building_text(dims),
            "Building device mesh with parallelism: pp=1, dp_replicate=2, dp_shard=2, cp=1, tp=2, "
            "ep=1, etp=1");
  EXPECT_EQ(created_text(dims),
            "Successfully created meshes with active dimensions: ['batch', 'loss', "
            "'dp_replicate', 'fsdp', 'tp', 'efsdp']");
  EXPECT_EQ(created_text(ParallelDims({}, 1)),
            "Successfully created meshes with active dimensions: []");
}

TEST(ParallelDims, ARankOutsideTheWorldIsOurBug) {
  const ParallelDims dims({}, 4);
  EXPECT_THROW(dims.coordinate(MeshDim::kFsdp, 4), InternalError);
  EXPECT_THROW(dims.ranks(MeshDim::kFsdp, -1), InternalError);
}

}  // namespace
}  // namespace titan::mesh
