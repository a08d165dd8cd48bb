#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/errors.h"
#include "titan/text/sources/document_source.h"

namespace titan::test {

using Units = std::vector<std::vector<std::string>>;

/// A document in one line, with what it is besides its text.
inline std::string render(const text::Document& document) {
  std::string text = document.begins ? "" : "...";
  if (!document.prompt.empty()) text += "(" + document.prompt + ")";
  if (document.is_tokens) {
    for (const std::int64_t token : document.tokens) text += std::to_string(token) + " ";
  } else {
    text += document.text;
  }
  return text + (document.ends ? "" : "...");
}

/// The documents from `skip` on, bad rows as what is wrong with them; nothing without that unit.
inline std::optional<std::vector<std::string>> read_unit(
    text::DocumentSource& source, std::int64_t unit, std::int64_t skip = 0,
    std::optional<std::uint64_t> seed = std::nullopt) {
  if (!source.open(unit, skip, seed)) return std::nullopt;
  std::vector<std::string> seen;
  for (text::Document document;;) {
    try {
      if (!source.next(document)) return seen;
      seen.push_back(render(document));
    } catch (const text::BadRow& error) {
      seen.push_back(std::string("bad: ") + error.what());
    }
  }
}

inline Units read_units(text::DocumentSource& source,
                        std::optional<std::uint64_t> seed = std::nullopt) {
  Units units;
  while (auto seen = read_unit(source, std::ssize(units), 0, seed)) units.push_back(*seen);
  return units;
}

inline std::vector<std::string> join(const Units& units) {
  std::vector<std::string> all;
  for (const auto& unit : units) all.insert(all.end(), unit.begin(), unit.end());
  return all;
}

/// Whether every unit opened at every one of its documents goes on as `units` say, which were read
/// from front to back; from the last to the first, so that each opening goes back.
inline bool reopens_everywhere(text::DocumentSource& source, const Units& units,
                               std::optional<std::uint64_t> seed = std::nullopt) {
  for (std::int64_t unit = std::ssize(units) - 1; unit >= 0; --unit) {
    const std::vector<std::string>& whole = units[static_cast<std::size_t>(unit)];
    for (std::int64_t skip = std::ssize(whole); skip >= 0; --skip) {
      const std::vector<std::string> rest(whole.begin() + skip, whole.end());
      if (read_unit(source, unit, skip, seed) != rest) return false;
    }
  }
  return true;
}

}  // namespace titan::test
