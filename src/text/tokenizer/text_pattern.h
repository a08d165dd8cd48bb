#pragma once

#include <optional>
#include <string>

#include "text/tokenizer/json_place.h"
#include "text/tokenizer/regex.h"

namespace titan::text {

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

}  // namespace titan::text
