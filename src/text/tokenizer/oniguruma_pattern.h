#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer/regex_error.h"

namespace titan::text {

/// Rewrites a regular expression in Oniguruma's Ruby syntax with its Unicode 16 tables (the engine
/// of the `tokenizers` package) into one that PCRE2 10.42 with its Unicode 14 tables matches alike.
/// Throws RegexError on a construct outside the common ground, rather than match something else.
std::string to_pcre2_pattern(std::string_view pattern);

/// A pattern that matches exactly `text`.
std::string literal_pattern(std::string_view text);

}  // namespace titan::text
