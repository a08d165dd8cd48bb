#pragma once

#include <string>
#include <string_view>

namespace titan::base {

/// Text that others have written, for a message or a log: at most `longest` bytes, on one line. Line ends and
/// tabs become spaces; what could steer a terminal (control characters, ESC among them, and those
/// that turn the direction of writing) or is no UTF-8 becomes '?'.
std::string printable(std::string_view text, std::size_t longest = 4'000);

/// The same of a message of several lines. Those behind the first are indented by two spaces at
/// least, so that none can pass for a line of the log.
std::string printable_lines(std::string_view text, std::size_t longest = 20'000);

}  // namespace titan::base
