#pragma once

#include <span>
#include <string>
#include <string_view>

#include "titan/config/option.h"

namespace titan::config {

/// A value read from the command line, or what is wrong with its text.
struct ArgumentValue {
  Value value;
  std::string complaint;
};

/// Reads the text of an option that is not a list of lists. A list is comma-separated, or written from
/// `[` to `]` as in JSON or TOML; `[]` is the empty one. Not yet checked against its range.
ArgumentValue read_argument(const Option& option, std::string_view text);

/// Reads the arguments of a list of lists: a list each, or all of them written as one.
ArgumentValue read_list_arguments(const Option& option, std::span<const std::string> texts);

/// "a,b" is [a, b]; "" is [""], as in the Python original. Blanks are kept.
StringList split_at_commas(std::string_view text);

}  // namespace titan::config
