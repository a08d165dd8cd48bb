#include "text/sources/make_byte_stream.h"

#define ZLIB_CONST  // what is decompressed is not changed
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <limits>
#include <new>
#include <utility>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {
namespace {

constexpr std::size_t kInputChunk = 128 << 10;
constexpr std::size_t kSkipChunk = 256 << 10;

/// What gzip and zstd have in common: a buffer of the compressed bytes, and seeking by reading.
class CompressedStream : public ByteStream {
 public:
  std::size_t read(std::span<char> out) final {
    const std::size_t count = decompress(out);
    offset_ += count;
    return count;
  }

  void seek(std::uint64_t offset) final {
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

  const std::string& path() const final { return file_->path(); }

 protected:
  /// `format` is for messages: "gzip".
  CompressedStream(std::unique_ptr<base::ReadableFile> file, std::string_view format)
      : file_(std::move(file)), format_(format), buffer_(kInputChunk) {}

  /// As `read`.
  virtual std::size_t decompress(std::span<char> out) = 0;
  /// Forgets everything: the file comes again from its front.
  virtual void restart() = 0;

  /// Compressed bytes that have been read and not used; reads on where there are none. Empty at the
  /// end of the file.
  std::span<const char> input() {
    if (begin_ == end_) {
      input_offset_ += end_;
      begin_ = end_ = 0;
      if (input_offset_ < file_->size()) end_ = file_->read_at(input_offset_, buffer_);
    }
    return std::span<const char>(buffer_).subspan(begin_, end_ - begin_);
  }

  void use_input(std::size_t count) { begin_ += count; }
  bool at_front() const { return input_offset_ + begin_ == 0; }
  /// Throws RunError "path: damaged gzip data at byte N: what".
  [[noreturn]] void fail(std::string_view what) const {
    throw RunError(concat(path(), ": damaged ", format_, " data at byte ", input_offset_ + begin_,
                          " of ", file_->size(), ": ", what));
  }

 private:
  std::unique_ptr<base::ReadableFile> file_;
  std::string_view format_;
  std::vector<char> buffer_;
  std::uint64_t input_offset_ = 0;  // of buffer_[0] in the file
  std::size_t begin_ = 0;           // of what has not been used
  std::size_t end_ = 0;             // of what has been read
  std::uint64_t offset_ = 0;        // in the content
};

constexpr int kMaxWindowBits = 27;

/// Zstandard (RFC 8878): one frame or several behind each other. A frame may ask for a window of up
/// to 128 MiB, which is what `zstd --long` writes.
class ZstdStream final : public CompressedStream {
 public:
  explicit ZstdStream(std::unique_ptr<base::ReadableFile> file)
      : CompressedStream(std::move(file), "zstd"), context_(ZSTD_createDCtx()) {
    if (!context_) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kMaxWindowBits);
  }

 private:
  struct FreeContext {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };

  std::size_t decompress(std::span<char> out) override {
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    while (output.pos == 0) {
      const std::span<const char> in = input();
      if (in.empty() && at_front()) fail("the file is empty");
      if (in.empty() && !in_frame_) return 0;
      ZSTD_inBuffer rest{in.data(), in.size(), 0};
      const std::size_t result = ZSTD_decompressStream(context_.get(), &output, &rest);
      use_input(rest.pos);
      if (ZSTD_isError(result)) {
        const ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
        if (code == ZSTD_error_memory_allocation) throw std::bad_alloc();
        if (code == ZSTD_error_frameParameter_windowTooLarge) {
          fail("it needs a window of more than 128 MiB; compress it with --long=27 or less");
        }
        fail(ZSTD_getErrorName(result));
      }
      in_frame_ = result != 0;
      if (in.empty() && output.pos == 0) fail("the file ends too early");
    }
    return output.pos;
  }

  void restart() override {
    ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_only);
    in_frame_ = false;
  }

  std::unique_ptr<ZSTD_DCtx, FreeContext> context_;
  bool in_frame_ = false;
};

constexpr int kGzipOnly = 16;  // added to the window bits
constexpr char kFirstByte = '\x1f';

/// Gzip (RFC 1952): one member or several behind each other, then maybe zero bytes as tapes and
/// some block devices leave them.
class GzipStream final : public CompressedStream {
 public:
  explicit GzipStream(std::unique_ptr<base::ReadableFile> file)
      : CompressedStream(std::move(file), "gzip"), state_(new z_stream{}) {
    if (inflateInit2(state_.get(), MAX_WBITS + kGzipOnly) != Z_OK) throw std::bad_alloc();
  }

 private:
  struct EndInflate {
    void operator()(z_stream* state) const {
      inflateEnd(state);
      delete state;
    }
  };

  std::size_t decompress(std::span<char> out) override {
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

  void restart() override { in_member_ = false; }

  // False at the end of the file.
  bool begin_member() {
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

  std::unique_ptr<z_stream, EndInflate> state_;
  bool in_member_ = false;
};

constexpr std::string_view kGzip = ".gz";
constexpr std::string_view kZstd = ".zst";

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(std::unique_ptr<base::ReadableFile> file) : file_(std::move(file)) {}

  std::size_t read(std::span<char> out) override {
    // Bytes that were appended since the file was opened are not part of the data.
    const std::uint64_t left = file_->size() - std::min(offset_, file_->size());
    out = out.first(std::min<std::uint64_t>(out.size(), left));
    if (out.empty()) return 0;
    const std::size_t count = file_->read_at(offset_, out);
    if (count == 0) {
      throw RunError(concat("'", path(), "' became shorter while it was read: it had ",
                            file_->size(), " bytes, now it ends before byte ", offset_));
    }
    offset_ += count;
    return count;
  }
  void seek(std::uint64_t offset) override {
    if (offset > file_->size()) {
      throw RunError(concat("cannot go to byte ", offset, " of '", path(), "': it has ",
                            file_->size(), " bytes"));
    }
    offset_ = offset;
  }
  const std::string& path() const override { return file_->path(); }

 private:
  std::unique_ptr<base::ReadableFile> file_;
  std::uint64_t offset_ = 0;
};

}  // namespace

bool is_compressed(std::string_view name) { return name.ends_with(kGzip) || name.ends_with(kZstd); }

std::string_view without_compression(std::string_view name) {
  if (name.ends_with(kGzip)) return name.substr(0, name.size() - kGzip.size());
  if (name.ends_with(kZstd)) return name.substr(0, name.size() - kZstd.size());
  return name;
}

std::unique_ptr<ByteStream> make_byte_stream(std::unique_ptr<base::ReadableFile> file) {
  const std::string_view name = file->path();
  if (name.ends_with(kGzip)) return std::make_unique<GzipStream>(std::move(file));
  if (name.ends_with(kZstd)) return std::make_unique<ZstdStream>(std::move(file));
  return std::make_unique<PlainStream>(std::move(file));
}

}  // namespace titan::text
