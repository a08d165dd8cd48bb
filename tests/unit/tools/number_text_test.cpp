#include "titan/tools/number_text.h"

#include <gtest/gtest.h>

#include <limits>

namespace titan::tools {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Every expected text is what Python prints.
TEST(NumberText, Fixed) {
  EXPECT_EQ(fixed(8.132169723510742, 5, 8), " 8.13217");
  EXPECT_EQ(fixed(1.5, 4, 7), " 1.5000");
  EXPECT_EQ(fixed(12345.67891, 4, 7), "12345.6789");
  EXPECT_EQ(fixed(-0.125, 2), "-0.12");
  EXPECT_EQ(fixed(kNan, 5, 8), "     nan");
  EXPECT_EQ(fixed(-kNan, 5, 8), "     nan");
  EXPECT_EQ(fixed(-kInfinity, 4, 7), "   -inf");
  EXPECT_EQ(fixed(1e22, 1), "10000000000000000000000.0");
}

TEST(NumberText, Thousands) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1000), "1,000");
  EXPECT_EQ(with_thousands(-123456), "-123,456");
  EXPECT_EQ(with_thousands(8030261248), "8,030,261,248");
  EXPECT_EQ(with_thousands(std::numeric_limits<std::int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(NumberText, ThousandsWithDecimals) {
  EXPECT_EQ(with_thousands(0.333, 2), "0.33");
  EXPECT_EQ(with_thousands(1234.565, 2), "1,234.57");
  EXPECT_EQ(with_thousands(-1234567.0, 1), "-1,234,567.0");
  EXPECT_EQ(with_thousands(999999.996, 2), "1,000,000.00");
  EXPECT_EQ(with_thousands(kNan, 2), "nan");
  EXPECT_EQ(with_thousands(-kInfinity, 2), "-inf");
}

TEST(NumberText, HalvesRoundToEven) {
  EXPECT_EQ(with_thousands(4566.5, 0), "4,566");
  EXPECT_EQ(with_thousands(4567.5, 0), "4,568");
  EXPECT_EQ(with_thousands(0.5, 0), "0");
}

}  // namespace
}  // namespace titan::tools
