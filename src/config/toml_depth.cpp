#include "config/toml_depth.h"

namespace titan::config {
namespace {

constexpr std::size_t kMostParts = 16;

/// The text behind a string that begins here with `quote`, or behind the three of them that begin one
/// of several lines. An unclosed one ends with its line or with the text, where the parser complains.
std::size_t skip_string(std::string_view toml, std::size_t begin, char quote) {
  const std::string_view three = quote == '"' ? R"(""")" : "'''";
  const bool lines = toml.substr(begin).starts_with(three);
  std::size_t at = begin + (lines ? 3 : 1);
  while (at < toml.size()) {
    if (quote == '"' && toml[at] == '\\') {
      at += 2;
    } else if (lines && toml.substr(at).starts_with(three)) {
      at += 3;
      while (at < toml.size() && toml[at] == quote) ++at;  // quotes that belong to the string's end
      return at;
    } else if (!lines && toml[at] == quote) {
      return at + 1;
    } else if (!lines && toml[at] == '\n') {
      return at;
    } else {
      ++at;
    }
  }
  return toml.size();
}

DeepKey place_of(std::string_view toml, std::size_t at) {
  DeepKey place;
  for (const char letter : toml.substr(0, at)) {
    place.column = letter == '\n' ? 1 : place.column + 1;
    if (letter == '\n') ++place.line;
  }
  return place;
}

}  // namespace

std::optional<DeepKey> find_deep_key(std::string_view toml) {
  constexpr std::string_view kBetween = "=\n[]{},";
  std::size_t parts = 1;
  for (std::size_t at = 0; at < toml.size();) {
    const char letter = toml[at];
    if (letter == '#') {
      at = toml.find('\n', at);
    } else if (letter == '"' || letter == '\'') {
      at = skip_string(toml, at, letter);
    } else {
      if (kBetween.find(letter) != std::string_view::npos) parts = 1;
      if (letter == '.' && ++parts > kMostParts) return place_of(toml, at);
      ++at;
    }
  }
  return std::nullopt;
}

}  // namespace titan::config
