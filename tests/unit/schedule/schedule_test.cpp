#include "titan/schedule/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/schedule/lowering.h"
#include "unit/schedule/schedules.h"

namespace titan::schedule {
namespace {

using testing::HasSubstr;

TEST(Schedules, AreFoundInSmallAndCapitalLetters) {
  EXPECT_EQ(find_kind("1f1b"), Kind::k1F1B);
  EXPECT_EQ(find_kind("ZBVZEROBUBBLE"), Kind::kZbvZeroBubble);
  EXPECT_EQ(find_kind("GPip"), std::nullopt);
  EXPECT_EQ(find_kind(""), std::nullopt);
}

TEST(Schedules, RanksAndStagesBelongTogether) {
  const Placement loop{4, 3, false};
  const Placement v{4, 2, true};
  EXPECT_EQ(loop.stages_of(1), (std::vector<std::int64_t>{1, 5, 9}));
  EXPECT_EQ(v.stages_of(1), (std::vector<std::int64_t>{1, 6}));
  for (const Placement& placement : {loop, v}) {
    for (std::int64_t rank = 0; rank < placement.ranks; ++rank) {
      for (const std::int64_t stage : placement.stages_of(rank)) {
        EXPECT_EQ(placement.rank_of(stage), rank);
      }
    }
  }
}

TEST(Schedules, ComputeEverythingOnceInOrder) {
  for_all_schedules(
      [](const Schedule& schedule) { EXPECT_THAT(problems_of(schedule), testing::IsEmpty()); });
}

TEST(Schedules, WhatIsSentIsReceivedAndNeverTooLate) {
  for_all_schedules([](const Schedule& schedule) {
    const Schedule lowered = lower(schedule);
    EXPECT_EQ(computations_of(lowered).ranks, schedule.ranks);
    const auto count = [&](Op op) {
      std::size_t number = 0;
      for (const auto& actions : lowered.ranks) {
        number += static_cast<std::size_t>(std::ranges::count(actions, op, &Action::op));
      }
      return number;
    };
    EXPECT_EQ(count(Op::kSendForward), count(Op::kReceiveForward));
    EXPECT_EQ(count(Op::kSendBackward), count(Op::kReceiveBackward));
    EXPECT_EQ(count(Op::kReduceGradients), static_cast<std::size_t>(schedule.placement.stages()));
    EXPECT_EQ(count(Op::kUnshard), count(Op::kReshard));
  });
}

TEST(Schedules, ImpossibleOnesAreRefusedWithTheRule) {
  const auto message = [](Kind kind, std::int64_t ranks, std::int64_t stages, std::int64_t m) {
    return test::message_of<ConfigError>([&] { make_schedule(kind, ranks, stages, m); });
  };
  EXPECT_THAT(message(Kind::k1F1B, 4, 2, 8), HasSubstr("1F1B has one stage per rank, not 2"));
  EXPECT_THAT(message(Kind::k1F1B, 4, 1, 3),
              HasSubstr("as many microbatches as stages (4), got 3"));
  EXPECT_THAT(message(Kind::kInterleaved1F1B, 4, 1, 8), HasSubstr("at least two stages per rank"));
  EXPECT_THAT(message(Kind::kZbvZeroBubble, 4, 3, 8), HasSubstr("two stages per rank, not 3"));
  EXPECT_THAT(message(Kind::kDualPipeV, 4, 2, 7), HasSubstr("as stages (8), got 7"));
  EXPECT_THAT(message(Kind::kInterleavedZeroBubble, 4, 2, 9), HasSubstr("nearest: 8 or 10"));
  EXPECT_THAT(message(Kind::kGPipe, 0, 1, 8), HasSubstr("must be at least 1"));
}

TEST(Lowering, WhatWaitsForItselfIsRefused) {
  Schedule schedule = make_schedule(Kind::kGPipe, 2, 1, 1);
  std::ranges::reverse(schedule.ranks[0]);  // backward before forward
  EXPECT_THAT(test::message_of<ConfigError>([&] { lower(schedule); }),
              testing::AllOf(HasSubstr("rank 0 waits at 0B0"), HasSubstr("rank 1 waits at 1F0")));
}

std::vector<Action> actions_of(const std::vector<std::string>& texts) {
  std::vector<Action> result;
  for (const std::string& text : texts) result.push_back(*parse_action(text));
  return result;
}

TEST(Exchanges, AreMessagesUpToTheOneThatIsNeededNext) {
  const std::vector<Action> one =
      actions_of({"1F0", "1SEND_F0", "1RECV_B0", "1RECV_F2", "1B0", "1SEND_B0", "1REDUCE_GRAD",
                  "1RECV_F3", "1RECV_F4", "1RESHARD"});
  const std::size_t lengths[] = {0, 2, 1, 1, 0, 1, 0, 2, 1, 0};
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(exchange_length(one, i), lengths[i]) << text(one[i]);
  }
  // Both parts of an overlap need theirs.
  const std::vector<Action> two =
      actions_of({"0RECV_F3", "3RECV_B1", "0RECV_F4", "(0F3;3B1)OVERLAP_F_B"});
  EXPECT_EQ(exchange_length(two, 0), 2u);
}

}  // namespace
}  // namespace titan::schedule
