#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace titan::text {

/// The tokens "<0x00>" to "<0xFF>", which stand for single bytes of characters that the vocabulary
/// lacks.
std::string byte_token(unsigned char byte);

/// The byte that such a token stands for.
std::optional<char> byte_of_token(std::string_view token);

}  // namespace titan::text
