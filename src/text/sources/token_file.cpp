#include "text/sources/token_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <utility>

#include "titan/base/errors.h"

namespace titan::text {
namespace {

static_assert(std::endian::native == std::endian::little,
              "token ids are copied as they are stored");

constexpr std::size_t kChunk = 64 << 10;

template <class Stored>
void decode(std::span<const char> bytes, std::int64_t* tokens) {
  for (std::size_t i = 0; i < bytes.size() / sizeof(Stored); ++i) {
    Stored token;
    std::memcpy(&token, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    tokens[i] = static_cast<std::int64_t>(token);
  }
}

void decode(std::span<const char> bytes, TokenType type, std::int64_t* tokens) {
  switch (type.width) {
    case 1:
      return type.is_signed ? decode<std::int8_t>(bytes, tokens)
                            : decode<std::uint8_t>(bytes, tokens);
    case 2:
      return type.is_signed ? decode<std::int16_t>(bytes, tokens)
                            : decode<std::uint16_t>(bytes, tokens);
    case 4:
      return type.is_signed ? decode<std::int32_t>(bytes, tokens)
                            : decode<std::uint32_t>(bytes, tokens);
    default:
      return decode<std::int64_t>(bytes, tokens);
  }
}

}  // namespace

TokenFile::TokenFile(std::unique_ptr<base::ReadableFile> file, TokenType type)
    : file_(std::move(file)), type_(type) {}

void TokenFile::read(std::uint64_t offset, std::int64_t count,
                     std::vector<std::int64_t>& tokens) const {
  std::array<char, kChunk> buffer;
  std::size_t done = tokens.size();
  tokens.resize(done + static_cast<std::size_t>(count));
  while (done < tokens.size()) {
    const std::size_t step = std::min<std::size_t>(tokens.size() - done, kChunk / type_.width);
    const auto bytes = std::span(buffer).first(step * type_.width);
    base::read_exactly(*file_, offset, bytes);
    const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(done);
    decode(bytes, type_, &*first);
    const auto last = first + static_cast<std::ptrdiff_t>(step);
    const auto negative = std::find_if(first, last, [](std::int64_t token) { return token < 0; });
    if (negative != last) {
      const auto index = static_cast<std::uint64_t>(negative - first);
      throw RunError(concat("'", path(), "' has the negative token id ", *negative, " at byte ",
                            offset + index * type_.width));
    }
    offset += bytes.size();
    done += step;
  }
}

}  // namespace titan::text
