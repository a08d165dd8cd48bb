#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <type_traits>

namespace titan::config {

/// A closed set of words: an enum whose enumerators count from 0, with a `words(E)` beside it that
/// lists their spellings in the same order.
template <class E>
concept Choice = std::is_enum_v<E> && requires(E e) {
  words(e);
};

/// The one copy of an enum's words with an address.
template <Choice E>
inline constexpr auto kWords = words(E{});

/// The spelling of a value in TOML and on the command line.
template <Choice E>
constexpr std::string_view to_string(E value) {
  return kWords<E>[static_cast<std::size_t>(value)];
}

template <class... Words>
constexpr std::array<std::string_view, sizeof...(Words)> word_list(const Words&... words) {
  return {std::string_view(words)...};
}

}  // namespace titan::config
