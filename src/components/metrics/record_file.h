#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "titan/base/file_system.h"

namespace titan::components {

/// A file that records are appended to, each written at once. While the disk is full, records are
/// kept (up to 1 MiB, then dropped and counted) and written as soon as there is room, none of them
/// twice.
class RecordFile {
 public:
  /// `noun` names several records in messages ("lines"). `append` continues an existing file; else
  /// it is emptied. Throws RunError when the file cannot be opened.
  RecordFile(base::FileSystem& files, std::string path, std::string noun, bool append);

  const std::string& path() const { return path_; }
  /// The last byte of the file as it was found; nothing in an empty one.
  std::optional<char> last_byte() const;
  /// Throws RunError when not everything could be written. What is left follows with the next call.
  void append(std::string_view record);
  /// Throws RunError with the number of records that the file lacks.
  void close();

 private:
  void write_pending();
  void count_arrived();

  base::FileSystem& files_;
  std::string path_;
  std::string noun_;
  std::unique_ptr<base::WritableFile> file_;
  std::uint64_t recorded_bytes_ = 0;  // the file's size after the last successful write
  std::string pending_;               // what must follow those bytes
  std::deque<std::uint64_t> ends_;    // the file's size when each pending record is complete
  bool write_failed_ = false;         // then some of `pending_` may be in the file
  std::int64_t dropped_ = 0;
};

}  // namespace titan::components
