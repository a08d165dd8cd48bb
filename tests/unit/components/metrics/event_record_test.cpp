#include "components/metrics/event_record.h"

#include <gtest/gtest.h>

#include <string>

namespace titan::components {
namespace {

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

// The examples of RFC 3720, section B.4.
TEST(Crc32c, HasTheStandardsValues) {
  EXPECT_EQ(crc32c(""), 0U);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
}

// Bytes that the Python packages tensorboard and protobuf write for the same events.
TEST(EventRecord, TheFirstEventNamesTheVersion) {
  EXPECT_EQ(hex(tfrecord(version_event(1.5))),
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28"
            "646c");
}

TEST(EventRecord, AScalarHasItsTagAndItsValueAsAFloat) {
  const Scalar scalars[] = {{"lr", 0.5}, {"throughput(tps)", 300}};
  EXPECT_EQ(hex(scalar_event(1.5, 300, scalars)),
            "09000000000000f83f10ac022a230a090a026c72150000003f0a160a0f7468726f7567687075"
            "7428747073291500009643");
}

TEST(EventRecord, StepsBeforeZeroAndBeyond32BitsKeepTheirBytes) {
  EXPECT_EQ(hex(scalar_event(1.5, -1, {})), "09000000000000f83f10ffffffffffffffffff012a00");
  EXPECT_EQ(hex(scalar_event(1.5, std::int64_t{1} << 40, {})),
            "09000000000000f83f108080808080202a00");
}

}  // namespace
}  // namespace titan::components
