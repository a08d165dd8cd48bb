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

/// Reads the text of an option that is not a list of lists. Not yet checked against its range.
ArgumentValue read_argument(const Option& option, std::string_view text);

/// Reads the arguments of a list of lists, one comma-separated list each.
ArgumentValue read_list_arguments(const Option& option, std::span<const std::string> texts);

/// "a,b" is [a, b]; "" is [""], as in the Python original. Blanks are kept.
StringList split_at_commas(std::string_view text);

}  // namespace titan::config
