#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace titan::config {

/// Where a TOML text is nested deeper than its parser bears, lines and columns counted from 1.
struct DeepKey {
  std::size_t line = 1;
  std::size_t column = 1;
};

/// Finds the first key of more parts ("a.b.c" has three) than any config has. The parser limits arrays
/// and inline tables itself, but not the parts of keys, each of which is a table within the one before:
/// taking 50,000 of them down overflows the stack.
std::optional<DeepKey> find_deep_key(std::string_view toml);

}  // namespace titan::config
