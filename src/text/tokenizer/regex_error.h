#pragma once

#include <stdexcept>

namespace titan::text {

/// A pattern that we cannot take. The message says what and at which character of the pattern.
class RegexError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace titan::text
