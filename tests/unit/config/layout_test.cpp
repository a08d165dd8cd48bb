#include "config/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/config/validate.h"
#include "unit/config/broken_rules.h"

namespace titan::config {
namespace {

using mesh::Degrees;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Parallelism with_layout(const Degrees& layout) {
  Parallelism result;
  result.data_parallel_replicate_degree = layout.dp_replicate;
  result.data_parallel_shard_degree = layout.dp_shard;
  result.context_parallel_degree = layout.cp;
  result.tensor_parallel_degree = layout.tp;
  result.pipeline_parallel_degree = layout.pp;
  result.expert_parallel_degree = layout.ep;
  result.expert_tensor_parallel_degree = layout.etp;
  return result;
}

TEST(Layout, EveryDegreeIsThatOfItsOption) {
  const Degrees layout{2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(with_layout(layout).degrees(), layout);
  EXPECT_EQ(Parallelism().degrees(), Degrees());
  EXPECT_EQ(layout_text(layout),
            "data_parallel_replicate_degree=2, data_parallel_shard_degree=3, "
            "context_parallel_degree=4, tensor_parallel_degree=5, pipeline_parallel_degree=6, "
            "expert_parallel_degree=7, expert_tensor_parallel_degree=8");
}

TEST(Layout, AllViolationsComeAtOnceWithLayoutsThatHaveNone) {
  const auto wrong = broken_rules(16, [](JobConfig& c) {
    c.parallelism.tensor_parallel_degree = 3;
    c.parallelism.expert_parallel_degree = 5;
    c.parallelism.expert_tensor_parallel_degree = 2;
    c.training.seq_len = 1024;
  });
  EXPECT_THAT(wrong,
              ElementsAre(AllOf(HasSubstr("does not divide the world size 16"),
                                HasSubstr("nearest valid layouts: {data_parallel_shard_degree=8, "
                                          "tensor_parallel_degree=2, expert_parallel_degree=4, "
                                          "expert_tensor_parallel_degree=2}")),
                          AllOf(HasSubstr("must be 1 or tensor_parallel_degree (3), got 2"),
                                Not(HasSubstr("nearest"))),
                          HasSubstr("training.seq_len (1024)")));
}

TEST(Layout, ExpertsAloneAreCorrectedAlone) {
  const auto wrong =
      broken_rules(8, [](JobConfig& c) { c.parallelism.expert_parallel_degree = 3; });
  EXPECT_THAT(wrong,
              ElementsAre(HasSubstr("nearest valid layouts: {data_parallel_shard_degree=8, "
                                    "expert_parallel_degree=4} {data_parallel_shard_degree=8, "
                                    "expert_parallel_degree=2}")));
}

TEST(Layout, ExpertTensorParallelismCountsWithExpertsOnly) {
  const auto etp = [](std::int64_t degree, std::int64_t experts) {
    return [=](JobConfig& c) {
      c.parallelism.tensor_parallel_degree = 2;
      c.parallelism.expert_tensor_parallel_degree = degree;
      c.parallelism.expert_parallel_degree = experts;
    };
  };
  EXPECT_THAT(broken_rules(4, etp(3, 1)), IsEmpty());
  EXPECT_THAT(broken_rules(4, etp(3, 2)),
              Contains(HasSubstr("expert_tensor_parallel_degree must be 1 or")));
  EXPECT_THAT(broken_rules(4, etp(2, 2)), IsEmpty());
}

TEST(Layout, ProposalsKeepEveryRule) {
  for (const std::int64_t ranks : {1, 6, 8, 24, 96, 1000, 16384}) {
    for (const Degrees& wanted : {Degrees{3, 5, 1, 7, 1, 9, 7}, Degrees{2, -1, 3, 4, 5, 6, 2},
                                  Degrees{4, 1, 1, 1, 2, 1, 1}, Degrees{1, -1, 1, 1, 1, 11, 1}}) {
      const auto proposals = nearest_layouts(wanted, ranks, 8192);
      ASSERT_FALSE(proposals.empty()) << ranks;
      for (const Degrees& layout : proposals) {
        EXPECT_THAT(broken_rules(ranks,
                                 [&](JobConfig& c) {
                                   c.training.seq_len = 8192;
                                   c.parallelism = with_layout(layout);
                                 }),
                    IsEmpty())
            << layout_text(layout) << " for " << ranks;
      }
    }
  }
}

TEST(Layout, AValidLayoutIsItsOwnNearest) {
  const Degrees valid{2, 4, 2, 2, 2, 8, 2};
  EXPECT_EQ(nearest_layouts(valid, 64, 4096).front(), valid);
}

TEST(Layout, NothingIsProposedForAbsurdWorlds) {
  EXPECT_THAT(nearest_layouts({.tp = 3}, std::int64_t{1} << 62, 4096), IsEmpty());
}

}  // namespace
}  // namespace titan::config
