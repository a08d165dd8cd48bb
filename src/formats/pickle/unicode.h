#pragma once

#include <string>
#include <string_view>

namespace titan::formats {

/// Whether the bytes are UTF-8 as Python's "surrogatepass" takes it: shortest forms, surrogates
/// allowed.
bool is_python_text(std::string_view bytes);

/// Whether every protocol can name a class or module so: text on one line, of up to 255 bytes.
bool is_class_name(std::string_view name);

/// The text with each character as one byte; false when a character is beyond 255. `text` is
/// valid UTF-8.
bool to_latin1(std::string_view text, std::string& out);

/// The bytes as text: each one a character of that number.
std::string from_latin1(std::string_view bytes);

}  // namespace titan::formats
