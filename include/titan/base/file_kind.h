#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace titan::base {
class ReadableFile;

/// What a file turned out to be, and what its user does about it.
struct FileKind {
  /// "gzip", "zstd", "Parquet", "zip", ...
  std::string_view name;
  /// "data compressed with gzip"
  std::string_view is;
  std::string_view advice;
};

/// Bytes of a file's front that tell.
inline constexpr std::size_t kFileFront = 512;

/// Recognises by its first bytes a file that is often found under the name of another: a pointer of Git
/// LFS, a page of HTML, UTF-16, something compressed. Bytes that mean nothing to us are nothing.
std::optional<FileKind> recognise_file(std::string_view front);

/// Throws RunError saying what the file is when its front is of a kind that we know and not the one
/// `expected`. Text kinds only, where `is_binary`: any numbers may stand at the front of numbers.
void refuse_other_kind(const std::string& path, std::string_view front,
                       std::string_view expected = "", bool is_binary = false);
void refuse_other_kind(const ReadableFile& file, std::string_view expected = "",
                       bool is_binary = false);

}  // namespace titan::base
