#include "components/data/line_reader.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::components {
namespace {

constexpr std::size_t kChunk = 256 << 10;
constexpr std::size_t kMaxLine = 1 << 30;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

LineReader::LineReader(std::unique_ptr<base::ReadableFile> file) : file_(std::move(file)) {}

LineReader::~LineReader() = default;

const std::string& LineReader::path() const { return file_->path(); }

void LineReader::seek(LinePosition position) {
  buffer_offset_ = position.offset;
  number_ = position.number;
  begin_ = end_ = 0;
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
    ++number_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (at_front && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    return true;
  }
}

// Adds a chunk behind what is held. False at the end of the file.
bool LineReader::read_more() {
  const std::uint64_t offset = buffer_offset_ + end_;
  if (offset >= file_->size()) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    buffer_offset_ += begin_;
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ > kMaxLine)
    throw RunError(concat(path(), ":", number_, ": the line is longer than 1 GiB"));
  if (buffer_.size() - end_ < kChunk) buffer_.resize(std::max(2 * buffer_.size(), kChunk));
  const std::size_t count = file_->read_at(offset, std::span(buffer_).subspan(end_));
  if (count == 0) {
    throw RunError(concat("'", path(), "' became shorter while it was read: it had ", file_->size(),
                          " bytes, now it ends before byte ", offset));
  }
  end_ += count;
  return true;
}

}  // namespace titan::components
