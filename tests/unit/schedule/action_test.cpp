#include "titan/schedule/action.h"

#include <gtest/gtest.h>

namespace titan::schedule {
namespace {

TEST(Action, TextsAreReadAgain) {
  for (const char* word :
       {"0F0", "12B345", "2I3", "7W1", "3UNSHARD", "3RESHARD", "3REDUCE_GRAD", "0SEND_F1",
        "1RECV_F1", "1SEND_B0", "0RECV_B0", "(0F3;3B1)OVERLAP_F_B", "(2F3;1I0)OVERLAP_F_B"}) {
    const auto action = parse_action(word);
    ASSERT_TRUE(action) << word;
    EXPECT_EQ(text(*action), word);
  }
}

TEST(Action, OtherTextsAreNone) {
  for (const char* word : {"",
                           "F",
                           "0",
                           "0F",
                           "F0",
                           "0X1",
                           "-1F0",
                           "0F-1",
                           "0F0 ",
                           " 0F0",
                           "0f0",
                           "0F1x",
                           "0UNSHARD1",
                           "99999999999999999999F0",
                           "1000001F0",
                           "0OVERLAP_F_B0",
                           "(0F3;3B1)",
                           "(0F3)OVERLAP_F_B",
                           "(;)OVERLAP_F_B",
                           "(0B3;3B1)OVERLAP_F_B",
                           "(0F3;3F1)OVERLAP_F_B",
                           "(0F3;3W1)OVERLAP_F_B",
                           "((0F1;1B1)OVERLAP_F_B;3B1)OVERLAP_F_B",
                           "OVERLAP_F_B",
                           "()OVERLAP_F_B"}) {
    EXPECT_FALSE(parse_action(word)) << word;
  }
}

}  // namespace
}  // namespace titan::schedule
