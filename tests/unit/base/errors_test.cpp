#include "titan/base/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace titan {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Errors, ConcatStreamsEveryPart) {
  EXPECT_EQ(concat("step ", 3, ": loss ", 0.5, ' ', true), "step 3: loss 0.5 1");
  EXPECT_EQ(concat(), "");
}

TEST(Errors, CheckPassesSilently) {
  int evaluated = 0;
  TITAN_CHECK(++evaluated == 1, "not reached ", ++evaluated);
  EXPECT_EQ(evaluated, 1) << "the message is built only on failure";
}

TEST(Errors, FailedCheckSaysWhatAndWhere) {
  const int rows = 3;
  try {
    TITAN_CHECK(rows == 4, "rows are ", rows);
    FAIL() << "no InternalError";
  } catch (const InternalError& error) {
    EXPECT_THAT(error.what(), StartsWith("internal error: rows are 3 (rows == 4) at "));
    EXPECT_THAT(error.what(), HasSubstr("errors_test.cpp:"));
  }
}

}  // namespace
}  // namespace titan
