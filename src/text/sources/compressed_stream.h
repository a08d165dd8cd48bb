#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/sources/byte_stream.h"

namespace titan::base {
class ReadableFile;
}

namespace titan::text {

/// What gzip and zstd have in common: a buffer of the compressed bytes, and seeking by reading.
class CompressedStream : public ByteStream {
 public:
  ~CompressedStream() override;
  std::size_t read(std::span<char> out) final;
  void seek(std::uint64_t offset) final;
  const std::string& path() const final;

 protected:
  /// `format` is for messages: "gzip".
  CompressedStream(std::unique_ptr<base::ReadableFile> file, std::string_view format);

  /// As `read`.
  virtual std::size_t decompress(std::span<char> out) = 0;
  /// Forgets everything: the file comes again from its front.
  virtual void restart() = 0;

  /// Compressed bytes that have been read and not used; reads on where there are none. Empty at the
  /// end of the file.
  std::span<const char> input();
  void use_input(std::size_t count) { begin_ += count; }
  bool at_front() const { return input_offset_ + begin_ == 0; }
  /// Throws RunError "path: damaged gzip data at byte N: what".
  [[noreturn]] void fail(std::string_view what) const;

 private:
  std::unique_ptr<base::ReadableFile> file_;
  std::string_view format_;
  std::vector<char> buffer_;
  std::uint64_t input_offset_ = 0;  // of buffer_[0] in the file
  std::size_t begin_ = 0;           // of what has not been used
  std::size_t end_ = 0;             // of what has been read
  std::uint64_t offset_ = 0;        // in the content
};

}  // namespace titan::text
