#include "comm/job_secret.h"

#include <gtest/gtest.h>

namespace titan::comm::test {
namespace {

// RFC 4231, test cases 2 and 6.
TEST(JobSecret, SealsAreHmacSha256) {
  EXPECT_EQ(JobSecret("Jefe").seal("what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(JobSecret(std::string(131, '\xaa'))
                .seal("Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(JobSecret, SealsAreCompared) {
  EXPECT_TRUE(same_seal("abc", "abc"));
  EXPECT_FALSE(same_seal("abc", "abd"));
  EXPECT_FALSE(same_seal("abc", "ab"));
  EXPECT_TRUE(JobSecret("x").is_set());
  EXPECT_FALSE(JobSecret("").is_set());
}

}  // namespace
}  // namespace titan::comm::test
