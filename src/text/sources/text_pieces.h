#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "text/sources/byte_stream.h"
#include "titan/text/sources/document.h"

namespace titan::text {

/// A text in pieces of about 1 MiB which a tokenizer may take one by one. A cut is safe behind a
/// line end that no white space and no middle of a character follows: nothing that pre-tokenizers
/// keep together reaches over it. Piece i begins at the first safe cut at or behind i MiB; where
/// that is the cut of piece i+1, too, there is one piece less.
class TextPieces {
 public:
  static constexpr std::uint64_t kPiece = 1 << 20;

  explicit TextPieces(std::unique_ptr<ByteStream> stream) : stream_(std::move(stream)) {}

  /// The next piece as a document. False at the end; an empty text has no piece. A byte order mark
  /// is left out. Throws RunError when reading fails or there is no safe cut for 1 GiB.
  bool next(Document& document);

 private:
  std::size_t find_cut();
  bool read_more();
  std::string_view held() const { return std::string_view(buffer_).substr(begin_, end_ - begin_); }

  std::unique_ptr<ByteStream> stream_;
  std::string buffer_;
  std::size_t begin_ = 0;     // of what has not been handed out, in buffer_
  std::size_t end_ = 0;       // of what has been read, in buffer_
  std::uint64_t offset_ = 0;  // of buffer_[begin_] in the content
  bool is_begun_ = false;
};

/// Whether the byte at `at` begins a character that is white space for Unicode; the text may end
/// inside that character.
bool begins_white_space(std::string_view text, std::size_t at);

}  // namespace titan::text
