#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace titan::base {

/// Appends the lowest `count` bytes of `value`, the lowest first.
inline void put_little(std::string& out, std::uint64_t value, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
  }
}

/// The number in up to 8 bytes, the lowest first.
inline std::uint64_t get_little(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

}  // namespace titan::base
