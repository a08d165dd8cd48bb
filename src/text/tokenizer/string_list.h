#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace titan::text {

/// A list of strings in one block of memory (at most 4 GiB): a vocabulary needs two allocations,
/// not one per token.
class StringList {
 public:
  void push_back(std::string_view text) {
    bytes_ += text;
    ends_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  }
  std::size_t size() const { return ends_.size(); }
  std::string_view operator[](std::size_t i) const {
    const std::uint32_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }

 private:
  std::string bytes_;
  std::vector<std::uint32_t> ends_;
};

}  // namespace titan::text
