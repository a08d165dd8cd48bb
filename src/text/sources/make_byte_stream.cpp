#include "text/sources/make_byte_stream.h"

#include <algorithm>
#include <utility>

#include "text/sources/gzip_stream.h"
#include "text/sources/zstd_stream.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {
namespace {

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
