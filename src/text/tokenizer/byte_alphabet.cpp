#include "text/tokenizer/byte_alphabet.h"

#include <array>

#include "text/tokenizer/utf8.h"

namespace titan::text {
namespace {

constexpr char32_t kFirstStandIn = 0x100;
constexpr int kNoByte = -1;

constexpr bool is_printable(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
         (byte >= 0xAE && byte <= 0xFF);
}

struct Alphabet {
  std::array<std::string, 256> character_of_byte;
  std::array<int, 0x200> byte_of_character;
};

const Alphabet& alphabet() {
  static const Alphabet instance = [] {
    Alphabet made;
    made.byte_of_character.fill(kNoByte);
    char32_t next = kFirstStandIn;
    for (int byte = 0; byte < 256; ++byte) {
      const char32_t character = is_printable(byte) ? static_cast<char32_t>(byte) : next++;
      append_utf8(character, made.character_of_byte[byte]);
      made.byte_of_character[character] = byte;
    }
    return made;
  }();
  return instance;
}

}  // namespace

void append_byte_characters(std::string_view bytes, std::string& out) {
  const auto& characters = alphabet().character_of_byte;
  for (const char byte : bytes) out += characters[static_cast<unsigned char>(byte)];
}

std::optional<std::string> bytes_of_characters(std::string_view token) {
  const auto& table = alphabet().byte_of_character;
  std::string bytes;
  while (!token.empty()) {
    const CodePoint point = decode_utf8(token);
    if (point.length == 0 || point.value >= table.size() || table[point.value] == kNoByte)
      return std::nullopt;
    bytes += static_cast<char>(table[point.value]);
    token.remove_prefix(point.length);
  }
  return bytes;
}

}  // namespace titan::text
