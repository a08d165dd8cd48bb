#pragma once

#include <string>
#include <string_view>

namespace titan::text {

/// The characters that Unicode 15 and 16 added to a general category ("L", "Lu", ...) after PCRE2
/// 10.42's tables (Unicode 14), as items for a character class: "\x{1C89}\x{A7CB}-\x{A7CC}". Empty
/// when there are none.
std::string unicode_additions(std::string_view category);

}  // namespace titan::text
