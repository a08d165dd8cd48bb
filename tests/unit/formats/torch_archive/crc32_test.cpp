#include "titan/formats/torch_archive/crc32.h"

#include <gtest/gtest.h>

#include <string_view>

namespace titan::formats {
namespace {

TEST(Crc32, OfTheCheckString) {
  EXPECT_EQ(crc32(std::string_view("123456789")), 0xcbf43926);  // the catalogue's "check"
  EXPECT_EQ(crc32(std::string_view()), 0);
}

TEST(Crc32, OfPiecesIsOfTheWhole) {
  const std::string_view text = "The quick brown fox jumps over the lazy dog";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const std::string_view first = text.substr(0, cut);
    const std::string_view second = text.substr(cut);
    EXPECT_EQ(crc32(second, crc32(first)), crc32(text));
    EXPECT_EQ(join_crc32(crc32(first), crc32(second), second.size()), crc32(text));
  }
}

}  // namespace
}  // namespace titan::formats
