#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace titan::text {

/// What a file holds, decompressed where it is compressed, from front to back; memory does not grow
/// with what the file says. One thread.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// Reads up to `out.size()` bytes, which is not 0; returns 0 at the end only. Throws RunError with
  /// file and byte when the file cannot be read, has become shorter, or is damaged.
  virtual std::size_t read(std::span<char> out) = 0;
  /// Goes to byte `offset` of the content, which may be its end. A compressed file is read up to
  /// there, when need be from its front. Throws RunError when there are fewer bytes.
  virtual void seek(std::uint64_t offset) = 0;
  /// Of the file.
  virtual const std::string& path() const = 0;
};

}  // namespace titan::text
