#include "comm/roll_call.h"

#include <gmock/gmock.h>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "unit/comm/rank_threads.h"

namespace titan::comm::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using titan::test::message_of;

Attendee attendee(std::int64_t rank, std::int64_t world_size) {
  return {rank, world_size, concat("process ", rank + 100, " on a")};
}

TEST(RollCall, EndsWhenTheLastRankHasCome) {
  LocalWorld world(40);
  on_threads(40,
             [&](std::int64_t rank) { call_roll(world.store(), attendee(rank, 40), kPatience); });
}

TEST(RollCall, NamesAFewOfManyThatAreMissing) {
  LocalWorld world(1);
  EXPECT_THAT(
      message_of<RunError>([&] { call_roll(world.store(), attendee(5, 1000), 10ms); }),
      AllOf(HasSubstr("999 of 1000 ranks did not come within 0.01 s: rank 0, 1, 2, 3, 4, 6,"),
            HasSubstr(", 16 and 983 more"), Not(HasSubstr("17"))));
}

TEST(RollCall, ALateTwinIsRefusedAndTheJobGoesOn) {
  LocalWorld world(2);
  on_threads(2, [&](std::int64_t rank) { call_roll(world.store(), attendee(rank, 2), kPatience); });
  EXPECT_THAT(message_of<RunError>([&] {
                call_roll(world.store(), {1, 2, "process 7 on b"}, 10ms);
              }),
              HasSubstr("two processes claim to be rank 1: process 101 on a, and process 7 on b"));
  EXPECT_EQ(world.store().find("roll_call/verdict"), "complete");
}

TEST(RollCall, ARankBeyondTheWorldIsOurMistake) {
  LocalWorld world(1);
  EXPECT_THROW(call_roll(world.store(), attendee(2, 2), 10ms), InternalError);
}

}  // namespace
}  // namespace titan::comm::test
