#include "tools/slurm_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::tools {
namespace {

using test::message_of;
using testing::HasSubstr;

TEST(FirstHost, OfSlurmsLists) {
  EXPECT_EQ(first_host("node7"), "node7");
  EXPECT_EQ(first_host("a,b"), "a");
  EXPECT_EQ(first_host("node[01-03,7],gpu5"), "node01");
  EXPECT_EQ(first_host("node[7,9]"), "node7");
  EXPECT_EQ(first_host("rack[2-3]n[08-10]-ib"), "rack2n08-ib");
  EXPECT_EQ(first_host("node[5]"), "node5");
}

TEST(FirstHost, RefusesWhatIsNone) {
  for (const char* list : {"", ",a", "node[", "node[]", "node[-3]", "a]", "a b"}) {
    EXPECT_THAT(message_of<ConfigError>([&] { first_host(list); }), HasSubstr("MASTER_ADDR"))
        << list;
  }
}

}  // namespace
}  // namespace titan::tools
