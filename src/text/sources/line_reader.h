#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/sources/byte_stream.h"

namespace titan::text {

/// Where a line stands in the content of its file.
struct LinePosition {
  std::uint64_t offset = 0;  // of its first byte
  std::int64_t number = 1;   // counted from 1; 0 where that is not known
};

/// "path:line", or "path: line at byte N" where its number is not known.
std::string place_of(const std::string& path, const LinePosition& position);

/// Whether nothing but ASCII white space is in a line.
bool is_blank(std::string_view line);

/// Reads a file line by line through a buffer that holds a chunk, or the longest line so far. Lines
/// end with "\n" or "\r\n", the last one with the file; a UTF-8 byte order mark at the front is
/// skipped.
class LineReader {
 public:
  explicit LineReader(std::unique_ptr<ByteStream> stream);

  /// Continues with the line that begins at `position`. Throws as ByteStream::seek.
  void seek(LinePosition position);
  /// Continues with the first line that begins at byte `offset` or behind it. False when that is not
  /// before byte `limit`; then seek before reading. Line numbers are not known from
  /// here on.
  bool seek_line(std::uint64_t offset, std::uint64_t limit);
  /// The position of the line that the next call of `next` yields.
  LinePosition position() const { return {buffer_offset_ + begin_, number_}; }
  /// The next line without its end; valid until the next call. False at the end of the file. Throws
  /// RunError when reading fails, the file has become shorter, or a line is longer than 1 GiB.
  bool next(std::string_view& line);
  const std::string& path() const { return stream_->path(); }

 private:
  bool read_more();

  std::unique_ptr<ByteStream> stream_;
  std::vector<char> buffer_;
  std::uint64_t buffer_offset_ = 0;  // of buffer_[0] in the content
  std::size_t begin_ = 0;            // of what has not been handed out
  std::size_t end_ = 0;              // of what has been read
  std::int64_t number_ = 1;
};

}  // namespace titan::text
