#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "titan/base/file_system.h"

namespace titan::components {

/// Tells files apart that have had the same name.
struct FileIdentity {
  dev_t device = 0;
  ino_t number = 0;
  bool operator==(const FileIdentity&) const = default;
};

/// A file that records are appended to, each written at once. While the disk is full, records are
/// kept (up to 1 MiB, then dropped and counted) and written as soon as there is room, none of them
/// twice. Where somebody removes or replaces the file meanwhile, the log says so and what follows goes to
/// the file that has the name then, or to a new one.
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
  void open(bool truncate);
  void come_back();
  void write_pending();
  void count_arrived();

  base::FileSystem& files_;
  std::string path_;
  std::string noun_;
  std::unique_ptr<base::WritableFile> file_;
  FileIdentity identity_;              // of `file_`
  std::uint64_t recorded_bytes_ = 0;   // the file's size after the last successful write
  std::string pending_;                // what must follow those bytes
  std::deque<std::uint64_t> lengths_;  // of the pending records, as far as they are pending
  bool first_has_begun_ = false;       // the first pending one is the rest of a record
  bool write_failed_ = false;          // then some of `pending_` may be in the file
  std::int64_t dropped_ = 0;
};

}  // namespace titan::components
