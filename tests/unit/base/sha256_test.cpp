#include "titan/base/sha256.h"

#include <gtest/gtest.h>

#include <array>

namespace titan::base {
namespace {

// FIPS 180-2, appendix B, and the empty message.
TEST(Sha256, GoldenDigests) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesEqualTheWhole) {
  Sha256 hash;
  const std::string million(1000000, 'a');
  for (std::size_t at = 0, size = 1; at < million.size(); at += size, size = size * 3 + 1) {
    hash.update(std::string_view(million).substr(at, size));
  }
  EXPECT_EQ(hash.hex_digest(), sha256_hex(million));
}

TEST(Sha256, DigestDoesNotEndTheStream) {
  Sha256 hash;
  EXPECT_EQ(hash.hex_digest(), sha256_hex(""));
  hash.update("ab");
  EXPECT_EQ(hash.hex_digest(), sha256_hex("ab"));
  hash.update("c");
  EXPECT_EQ(hash.hex_digest(), sha256_hex("abc"));
}

TEST(Sha256, TakesRawMemory) {
  const std::array<float, 2> values = {0.0F, 1.0F};
  const std::string bytes("\0\0\0\0\0\0\x80\x3f", 8);
  Sha256 hash;
  hash.update(std::as_bytes(std::span(values)));
  EXPECT_EQ(hash.hex_digest(), sha256_hex(bytes));
}

}  // namespace
}  // namespace titan::base
