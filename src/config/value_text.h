#pragma once

#include <string>
#include <string_view>

#include "titan/config/value.h"

namespace titan::config {

/// The text in double quotes, control characters escaped: a TOML basic string and a JSON string.
std::string quoted(std::string_view text);

/// The value as TOML. None, which TOML does not have, is the string "None".
std::string value_text(const Value& value);

/// The value as JSON, lists over several lines whose first is indented by `indent` blanks.
std::string value_json(const Value& value, int indent);

/// True unless the text holds a byte sequence that is not UTF-8.
bool is_utf8(std::string_view text);

}  // namespace titan::config
