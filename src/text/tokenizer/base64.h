#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace titan::text {

/// The bytes that `text` stands for (RFC 4648, section 4; the = at the end may be missing). Nothing
/// when it is no base64.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace titan::text
