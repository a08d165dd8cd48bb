#include "text/sources/compressed_stream.h"

#include <algorithm>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {
namespace {

constexpr std::size_t kInputChunk = 128 << 10;
constexpr std::size_t kSkipChunk = 256 << 10;

}  // namespace

CompressedStream::CompressedStream(std::unique_ptr<base::ReadableFile> file,
                                   std::string_view format)
    : file_(std::move(file)), format_(format), buffer_(kInputChunk) {}

CompressedStream::~CompressedStream() = default;

const std::string& CompressedStream::path() const { return file_->path(); }

std::size_t CompressedStream::read(std::span<char> out) {
  const std::size_t count = decompress(out);
  offset_ += count;
  return count;
}

void CompressedStream::seek(std::uint64_t offset) {
  if (offset < offset_) {
    restart();
    input_offset_ = offset_ = begin_ = end_ = 0;
  }
  if (offset == offset_) return;
  std::vector<char> skipped(kSkipChunk);
  while (offset_ < offset) {
    const auto wanted = std::min<std::uint64_t>(skipped.size(), offset - offset_);
    if (read(std::span(skipped).first(wanted)) == 0) {
      throw RunError(concat("cannot go to byte ", offset, " of what '", path(),
                            "' holds decompressed: that is ", offset_, " bytes"));
    }
  }
}

std::span<const char> CompressedStream::input() {
  if (begin_ == end_) {
    input_offset_ += end_;
    begin_ = end_ = 0;
    if (input_offset_ < file_->size()) end_ = file_->read_at(input_offset_, buffer_);
  }
  return std::span<const char>(buffer_).subspan(begin_, end_ - begin_);
}

void CompressedStream::fail(std::string_view what) const {
  throw RunError(concat(path(), ": damaged ", format_, " data at byte ", input_offset_ + begin_,
                        " of ", file_->size(), ": ", what));
}

}  // namespace titan::text
