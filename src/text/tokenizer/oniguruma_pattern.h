#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace titan::text {

/// A pattern that we cannot take. The message says what and at which character of the pattern.
class RegexError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Rewrites a regular expression in Oniguruma's Ruby syntax with its Unicode 16 tables (the engine
/// of the `tokenizers` package) into one that PCRE2 10.42 with its Unicode 14 tables matches alike.
/// Throws RegexError on a construct outside the common ground, rather than match something else.
std::string to_pcre2_pattern(std::string_view pattern);

/// A pattern that matches exactly `text`.
std::string literal_pattern(std::string_view text);

}  // namespace titan::text
