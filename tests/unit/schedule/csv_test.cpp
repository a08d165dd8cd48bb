#include "titan/schedule/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/schedule/lowering.h"

namespace titan::schedule {
namespace {

using testing::HasSubstr;

TEST(Csv, IsReadAsItIsWritten) {
  for (const Kind kind : {Kind::kGPipe, Kind::kInterleaved1F1B, Kind::kDualPipeV}) {
    const Schedule schedule = make_schedule(kind, 4, has_one_stage_per_rank(kind) ? 1 : 2, 8);
    const std::string csv = to_csv(schedule);
    EXPECT_EQ(from_csv(csv, schedule.placement, 8).ranks, schedule.ranks);
    EXPECT_EQ(from_csv(to_csv(lower(schedule)), schedule.placement, 8).ranks, schedule.ranks);
  }
}

TEST(Csv, BubblesAreEmptyCells) {
  const Schedule schedule =
      from_csv("0F0,0F1, ,,\"0B0\",0B1\r\n,1F0,1B0,1F1,1B1,\n\n", {.ranks = 2}, 2);
  EXPECT_EQ(to_csv(schedule), "0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n");
}

TEST(Csv, MistakesAreNamed) {
  const auto message = [](std::string_view csv) {
    return test::message_of<ConfigError>([&] { from_csv(csv, {.ranks = 2}, 1); });
  };
  EXPECT_THAT(message("0F0,0B0\n1F0,1X0\n"), HasSubstr("line 2, cell 2: '1X0' is no action"));
  EXPECT_THAT(message("0F0,0B0\n"), HasSubstr("1 lines for 2 ranks"));
  EXPECT_THAT(message(""), HasSubstr("0 lines for 2 ranks"));
  EXPECT_THAT(message("0F0,0B0\n0F0,1B0\n"), HasSubstr("rank 1: 0F0 is of a stage of rank 0"));
  EXPECT_THAT(message("0F0,0B0\n1F0,1F0,1B0\n"), HasSubstr("rank 1: 1F0 is there twice"));
  EXPECT_THAT(message("0F0,0B0\n1B0,1F0\n"), HasSubstr("1B0 comes before its forward"));
  EXPECT_THAT(message("0F0,0B0\n1F0\n"), HasSubstr("rank 1: 1B0 is missing"));
  EXPECT_THAT(message("0F0,0I0\n1F0,1B0\n"), HasSubstr("rank 0: 0W0 is missing"));
  EXPECT_THAT(message("0F0,0W0,0I0\n1F0,1B0\n"), HasSubstr("0W0 comes before its input gradient"));
  EXPECT_THAT(message("0F0,0B0\n1F1,1B1\n"), HasSubstr("1F1 is of a microbatch that there is not"));
  EXPECT_THAT(message("0F0,0B0\n3F0,1B0\n"), HasSubstr("3F0 is of a stage that there is not"));
  EXPECT_THAT(message("\x1b[31m,0B0\n1F0,1B0"), testing::Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace titan::schedule
