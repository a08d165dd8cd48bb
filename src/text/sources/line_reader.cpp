#include "text/sources/line_reader.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::size_t kChunk = 128 << 10;
constexpr std::size_t kMaxLine = 1 << 30;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

std::string place_of(const std::string& path, const LinePosition& position) {
  if (position.number > 0) return concat(path, ":", position.number);
  return concat(path, ": line at byte ", position.offset);
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\v\f") == std::string_view::npos;
}

LineReader::LineReader(std::unique_ptr<ByteStream> stream) : stream_(std::move(stream)) {}

void LineReader::seek(LinePosition position) {
  number_ = position.number;
  if (position.offset >= buffer_offset_ && position.offset <= buffer_offset_ + end_) {
    begin_ = position.offset - buffer_offset_;
    return;
  }
  stream_->seek(position.offset);
  buffer_offset_ = position.offset;
  begin_ = end_ = 0;
}

bool LineReader::seek_line(std::uint64_t offset, std::uint64_t limit) {
  if (offset == 0) {
    seek({0, 0});
    return limit > 0;
  }
  // A line begins at `offset` when the byte before ends one.
  seek({offset - 1, 0});
  for (;;) {
    const char* from = buffer_.data() + begin_;
    const void* found = end_ > begin_ ? std::memchr(from, '\n', end_ - begin_) : nullptr;
    begin_ = found ? static_cast<const char*>(found) + 1 - buffer_.data() : end_;
    if (found || position().offset >= limit) return position().offset < limit;
    if (!read_more()) return false;
  }
}

bool LineReader::next(std::string_view& line) {
  std::size_t searched = 0;
  for (;;) {
    const char* from = buffer_.data() + begin_;
    const std::size_t held = end_ - begin_;
    const void* found =
        held > searched ? std::memchr(from + searched, '\n', held - searched) : nullptr;
    searched = held;
    if (!found && read_more()) continue;
    if (!found && end_ == begin_) return false;
    const bool at_front = buffer_offset_ + begin_ == 0;
    line = std::string_view(buffer_.data() + begin_, end_ - begin_);
    if (found) line = line.substr(0, static_cast<const char*>(found) - from);
    begin_ += line.size() + (found ? 1 : 0);
    if (number_ > 0) ++number_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (at_front && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    return true;
  }
}

// Adds up to a chunk behind what is held. False at the end of the file.
bool LineReader::read_more() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    buffer_offset_ += begin_;
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ > kMaxLine) {
    throw RunError(
        concat(path(), ": the line that begins at byte ", buffer_offset_, " is longer than 1 GiB"));
  }
  if (buffer_.size() - end_ < kChunk) buffer_.resize(std::max(2 * buffer_.size(), 2 * kChunk));
  const std::size_t count = stream_->read(std::span(buffer_).subspan(end_, kChunk));
  end_ += count;
  return count > 0;
}

}  // namespace titan::text
