#include "text/sources/text_pieces.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::size_t kChunk = 256 << 10;
constexpr std::size_t kMaxPiece = 1 << 30;
constexpr std::size_t kLongestCharacter = 4;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

// The White_Space characters of Unicode, in UTF-8.
bool begins_white_space(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0;
  };
  const auto last = byte(2);
  switch (byte(0)) {
    case ' ':
    case '\t':
    case '\n':
    case '\v':
    case '\f':
    case '\r':
      return true;
    case 0xC2:  // U+0085, U+00A0
      return byte(1) == 0x85 || byte(1) == 0xA0;
    case 0xE1:  // U+1680
      return byte(1) == 0x9A && last == 0x80;
    case 0xE2:  // U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F
      return (byte(1) == 0x80 &&
              ((last >= 0x80 && last <= 0x8A) || last == 0xA8 || last == 0xA9 || last == 0xAF)) ||
             (byte(1) == 0x81 && last == 0x9F);
    case 0xE3:  // U+3000
      return byte(1) == 0x80 && last == 0x80;
    default:
      return false;
  }
}

bool TextPieces::next(Document& document) {
  if (!is_begun_) {
    while (end_ < kByteOrderMark.size() && read_more()) {
    }
    if (held().starts_with(kByteOrderMark)) {
      begin_ += kByteOrderMark.size();
      offset_ += kByteOrderMark.size();
    }
  }
  const std::size_t cut = find_cut();
  if (cut == 0) return false;
  document.prompt.clear();
  document.tokens.clear();
  document.is_tokens = false;
  document.text = held().substr(0, cut);
  document.begins = !is_begun_;
  document.ends = cut == end_ - begin_;  // a cut that is no end has a byte behind it
  begin_ += cut;
  offset_ += cut;
  is_begun_ = true;
  return true;
}

// Number of bytes of the next piece; 0 at the end.
std::size_t TextPieces::find_cut() {
  // The cut is behind the line end at `at` - 1.
  std::size_t at = kPiece - offset_ % kPiece;
  for (;;) {
    const std::string_view text = held();
    while (at + kLongestCharacter <= text.size()) {
      const void* end = std::memchr(text.data() + at - 1, '\n', text.size() - at + 1);
      at = end ? static_cast<std::size_t>(static_cast<const char*>(end) - text.data()) + 1
               : text.size() + 1;
      if (at + kLongestCharacter > text.size()) break;
      if (!begins_white_space(text, at) && !is_continuation(text[at])) return at;
      ++at;
    }
    if (text.size() > kMaxPiece) {
      throw RunError(concat("cannot cut the text '", stream_->path(), "': for 1 GiB behind byte ",
                            offset_,
                            " there is no line end with something else than white space behind it; "
                            "is this a text file?"));
    }
    if (!read_more()) return held().size();
  }
}

bool TextPieces::read_more() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() - end_ < kChunk) {
    buffer_.resize(std::max(buffer_.size() + buffer_.size() / 2, kPiece + 2 * kChunk));
  }
  const std::size_t count =
      stream_->read(std::span(buffer_.data(), buffer_.size()).subspan(end_, kChunk));
  end_ += count;
  return count > 0;
}

}  // namespace titan::text
