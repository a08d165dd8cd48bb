#pragma once

#include <optional>
#include <string>

#include "components/tokenizer/json_place.h"
#include "components/tokenizer/regex.h"

namespace titan::components {

/// A pattern as the file writes it: {"String": "..."} or {"Regex": "..."}. One of the two is there.
struct TextPattern {
  /// Throws RunError.
  explicit TextPattern(const JsonPlace& place);
  /// The pattern as a regular expression, whichever it was.
  Regex take_regex() &&;

  std::optional<std::string> literal;
  std::optional<Regex> regex;
};

/// Compiles `pattern`; a complaint names `place`. Throws RunError.
Regex compile_pattern(std::string_view pattern, const JsonPlace& place);

}  // namespace titan::components
