#include "text/sources/gzip_stream.h"

#define ZLIB_CONST  // what is decompressed is not changed
#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {
namespace {

constexpr int kGzipOnly = 16;  // added to the window bits
constexpr char kFirstByte = '\x1f';

}  // namespace

void GzipStream::EndInflate::operator()(z_stream_s* state) const {
  inflateEnd(state);
  delete state;
}

GzipStream::GzipStream(std::unique_ptr<base::ReadableFile> file)
    : CompressedStream(std::move(file), "gzip"), state_(new z_stream_s{}) {
  if (inflateInit2(state_.get(), MAX_WBITS + kGzipOnly) != Z_OK) throw std::bad_alloc();
}

void GzipStream::restart() { in_member_ = false; }

std::size_t GzipStream::decompress(std::span<char> out) {
  const std::size_t most = std::min<std::size_t>(out.size(), std::numeric_limits<uInt>::max());
  state_->next_out = reinterpret_cast<Bytef*>(out.data());
  state_->avail_out = static_cast<uInt>(most);
  while (state_->avail_out == most) {
    if (!in_member_ && !begin_member()) return 0;
    const std::span<const char> in = input();
    state_->next_in = reinterpret_cast<const Bytef*>(in.data());
    state_->avail_in = static_cast<uInt>(in.size());
    const int result = inflate(state_.get(), Z_NO_FLUSH);
    use_input(in.size() - state_->avail_in);
    if (result == Z_STREAM_END) {
      in_member_ = false;
    } else if (result == Z_BUF_ERROR && in.empty()) {
      fail("the file ends too early");
    } else if (result == Z_MEM_ERROR) {
      throw std::bad_alloc();
    } else if (result != Z_OK) {
      fail(state_->msg ? state_->msg : "a preset dictionary is asked for");
    }
  }
  return most - state_->avail_out;
}

// False at the end of the file.
bool GzipStream::begin_member() {
  const bool is_first = at_front();
  std::span<const char> in = input();
  while (!is_first && !in.empty() && in.front() == '\0') {
    const auto data = std::find_if(in.begin(), in.end(), [](char c) { return c != '\0'; });
    use_input(static_cast<std::size_t>(data - in.begin()));
    in = input();
  }
  if (in.empty() && !is_first) return false;
  if (in.empty()) fail("the file is empty");
  if (in.front() != kFirstByte) {
    fail(is_first ? "this is not gzip" : "there are other bytes behind the gzip data");
  }
  inflateReset(state_.get());
  in_member_ = true;
  return true;
}

}  // namespace titan::text
