#include "config/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/base/errors.h"
#include "titan/config/availability.h"
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

/// The first of the nearest layouts where every degree may be had.
std::string nearest(const Degrees& wanted, std::int64_t ranks, std::int64_t seq_len = 2048) {
  return layout_text(nearest_layouts(wanted, ranks, seq_len, kAnyDegrees).front());
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
                                HasSubstr("nearest valid layouts: {data_parallel_shard_degree=")),
                          AllOf(HasSubstr("must be 1 or tensor_parallel_degree (3), got 2"),
                                Not(HasSubstr("nearest"))),
                          HasSubstr("training.seq_len (1024)")));
  EXPECT_EQ(nearest({.tp = 3, .ep = 5, .etp = 2}, 16, 1024),
            "data_parallel_shard_degree=8, tensor_parallel_degree=2, expert_parallel_degree=4, "
            "expert_tensor_parallel_degree=2");
}

TEST(Layout, FewDegreesAreChangedAndThoseLittle) {
  std::string all;
  for (const Degrees& layout : nearest_layouts({.dp_shard = 4, .tp = 8}, 64, 2048, kAnyDegrees)) {
    all += concat("{", layout_text(layout), "}");
  }
  EXPECT_EQ(all,
            "{data_parallel_shard_degree=4, tensor_parallel_degree=8, pipeline_parallel_degree=2}"
            "{data_parallel_shard_degree=4, tensor_parallel_degree=16}"
            "{data_parallel_shard_degree=4, context_parallel_degree=2, tensor_parallel_degree=8}");
  EXPECT_EQ(nearest({.tp = 8}, 12), "data_parallel_shard_degree=3, tensor_parallel_degree=4");
}

TEST(Layout, ExpertsAloneAreCorrectedAlone) {
  const auto wrong =
      broken_rules(8, [](JobConfig& c) { c.parallelism.expert_parallel_degree = 3; });
  EXPECT_THAT(wrong,
              ElementsAre(HasSubstr("nearest valid layouts: {data_parallel_shard_degree=8")));
  const std::vector<Degrees> near = nearest_layouts({.ep = 3}, 8, 2048, kAnyDegrees);
  ASSERT_GE(near.size(), 2U);
  EXPECT_EQ(near[0], (Degrees{.dp_shard = 8, .ep = 4}));
  EXPECT_EQ(near[1], (Degrees{.dp_shard = 8, .ep = 2}));
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
      const auto proposals = nearest_layouts(wanted, ranks, 8192, kAnyDegrees);
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
  EXPECT_EQ(nearest_layouts(valid, 64, 4096, kAnyDegrees).front(), valid);
}

TEST(Layout, NoDegreeIsProposedThatIsTooLarge) {
  Degrees largest = kAnyDegrees;
  largest.tp = largest.ep = 1;
  largest.pp = 2;
  for (const Degrees& wanted : {Degrees{1, -1, 1, 8, 4, 1, 1}, Degrees{1, 3, 2, 5, 7, 6, 5}}) {
    const auto proposals = nearest_layouts(wanted, 96, 8192, largest);
    EXPECT_FALSE(proposals.empty());
    for (const Degrees& layout : proposals) {
      EXPECT_LE(layout.tp, 1) << layout_text(layout);
      EXPECT_LE(layout.ep, 1) << layout_text(layout);
      EXPECT_LE(layout.pp, 2) << layout_text(layout);
    }
  }
}

/// What a build refuses, whatever that is at the time, it does not propose.
TEST(Layout, WhatThisBuildRefusesIsNotProposed) {
  const Degrees& largest = largest_degrees();
  EXPECT_EQ(largest.dp_replicate, kAnyDegree);
  EXPECT_EQ(largest.dp_shard, kAnyDegree);
  for (const Degrees& wanted : {Degrees{3, 5, 2, 7, 3, 9, 7}, Degrees{1, 5, 3, 2, 1, 1, 1},
                                Degrees{1, 5, 1, 1, 3, 1, 1}, Degrees{1, -1, 1, 1, 1, 11, 1}}) {
    const auto proposals = nearest_layouts(wanted, 48, 8192, largest);
    ASSERT_FALSE(proposals.empty());
    for (const Degrees& layout : proposals) {
      JobConfig config;
      config.parallelism = with_layout(layout);
      EXPECT_TRUE(availability_problems(config, Origins(), 48).empty()) << layout_text(layout);
    }
  }
}

TEST(Layout, NothingIsProposedForAbsurdWorlds) {
  EXPECT_THAT(nearest_layouts({.tp = 3}, std::int64_t{1} << 62, 4096, kAnyDegrees), IsEmpty());
}

}  // namespace
}  // namespace titan::config
