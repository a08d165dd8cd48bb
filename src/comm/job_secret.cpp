#include "comm/job_secret.h"

#include <cstddef>

#include "titan/base/errors.h"
#include "titan/base/sha256.h"

namespace titan::comm {
namespace {

constexpr std::size_t kBlock = 64;  // bytes that SHA-256 takes at once

std::string bytes_of(std::string_view hex) {
  const auto value = [](char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(value(hex[i]) * 16 + value(hex[i + 1]));
  }
  return bytes;
}

std::string padded(std::string key, char mask) {
  key.resize(kBlock, '\0');
  for (char& byte : key) byte = static_cast<char>(byte ^ mask);
  return key;
}

}  // namespace

std::string JobSecret::seal(std::string_view text) const {
  TITAN_CHECK(is_set(), "a seal needs a secret");
  const std::string key = secret_.size() > kBlock ? bytes_of(base::sha256_hex(secret_)) : secret_;
  base::Sha256 inner;
  inner.update(padded(key, 0x36));
  inner.update(text);
  return base::sha256_hex(padded(key, 0x5c) + bytes_of(inner.hex_digest()));
}

bool same_seal(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) return false;
  int difference = 0;
  for (std::size_t i = 0; i < one.size(); ++i) difference |= one[i] ^ other[i];
  return difference == 0;
}

}  // namespace titan::comm
