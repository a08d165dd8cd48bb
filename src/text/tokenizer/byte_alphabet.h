#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace titan::text {

/// GPT-2's printable stand-ins for the 256 bytes, in which byte-level vocabularies are written: a
/// printable Latin-1 byte stands for itself, the n-th other byte is U+0100 + n (a blank is U+0120,
/// "Ġ").

/// Appends the characters that stand for `bytes`.
void append_byte_characters(std::string_view bytes, std::string& out);

/// The bytes `token` stands for; nothing when one of its characters is no stand-in.
std::optional<std::string> bytes_of_characters(std::string_view token);

}  // namespace titan::text
