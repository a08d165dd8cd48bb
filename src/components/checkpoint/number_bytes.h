#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace titan::components {

/// Numbers as they go from rank to rank.
inline std::string number_bytes(const std::vector<std::uint64_t>& numbers) {
  std::string bytes(numbers.size() * sizeof(std::uint64_t), '\0');
  if (!numbers.empty()) std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

inline std::vector<std::uint64_t> numbers_of(std::string_view bytes) {
  std::vector<std::uint64_t> numbers(bytes.size() / sizeof(std::uint64_t));
  if (!numbers.empty()) {
    std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(std::uint64_t));
  }
  return numbers;
}

}  // namespace titan::components
