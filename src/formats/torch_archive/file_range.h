#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "titan/base/file_system.h"

namespace titan::formats {

/// A part of a file. Positions count from its start; reads beyond its end are refused before any
/// memory is taken.
class FileRange {
 public:
  /// Throws RunError when the file has no such part.
  FileRange(const base::ReadableFile& file, std::uint64_t offset, std::uint64_t length);

  std::uint64_t size() const { return length_; }
  std::string read(std::uint64_t position, std::uint64_t count) const;
  void read_into(std::uint64_t position, std::span<char> out) const;

  /// Throws RunError when the range is a whole file that is recognisably no archive.
  void refuse_other_kind() const;
  /// Throws RunError "'<file>', byte <position in the file>: <why>".
  [[noreturn]] void fail(std::uint64_t position, const std::string& why) const;

 private:
  void check(std::uint64_t position, std::uint64_t count) const;

  const base::ReadableFile& file_;
  std::uint64_t offset_;
  std::uint64_t length_;
};

}  // namespace titan::formats
