#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace titan::base {

/// A file open for reading at any position. Safe to read from several threads at once.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  /// Reads up to `out.size()` bytes starting at byte `offset`; fewer only at the end of the file.
  /// Returns the number of bytes read. Throws RunError with the path and errno text.
  virtual std::size_t read_at(std::uint64_t offset, std::span<char> out) const = 0;
  /// Size in bytes when the file was opened.
  virtual std::uint64_t size() const = 0;
  virtual const std::string& path() const = 0;
};

/// A file open for writing at its end. One thread at a time.
class WritableFile {
 public:
  /// Closes without syncing. Errors are lost: call `close()` where they matter.
  virtual ~WritableFile() = default;
  /// Hands all bytes to the operating system. Throws RunError (disk full, quota, ...).
  virtual void append(std::string_view bytes) = 0;
  /// Has the disk begin with what was appended so far, so that `sync` finds less to do. A hint: does
  /// not wait and does not fail.
  virtual void start_write_back() {}
  /// Makes everything appended so far durable (fsync).
  virtual void sync() = 0;
  virtual void close() = 0;
};

/// Held until it is destroyed, or until the process ends in whatever way.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

/// All file access of the program goes through here, so that a test can drop unsynced bytes or
/// fail any call. Every method throws RunError naming the path and the operating system's reason.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual std::unique_ptr<ReadableFile> open_for_reading(const std::string& path) = 0;
  /// Creates the file when missing; `truncate` empties an existing one.
  virtual std::unique_ptr<WritableFile> open_for_writing(const std::string& path,
                                                         bool truncate) = 0;
  virtual bool exists(const std::string& path) = 0;
  virtual bool is_directory(const std::string& path) = 0;
  /// Whether the path is a device, a pipe or a socket: no file that could be replaced or read to its
  /// end.
  virtual bool is_special(const std::string& path) { return false; }
  /// The path behind symbolic links; the path itself where there are none.
  virtual std::string resolve_links(const std::string& path) { return path; }
  /// Names (not paths) in a folder, sorted bytewise.
  virtual std::vector<std::string> list_directory(const std::string& path) = 0;
  /// Creates the folder and its parents; existing ones are fine.
  virtual void create_directories(const std::string& path) = 0;
  virtual void rename(const std::string& from, const std::string& to) = 0;
  virtual void remove_file(const std::string& path) = 0;
  /// Removes an empty folder.
  virtual void remove_directory(const std::string& path) = 0;
  /// Bytes that this user may still write to the file system that holds the folder; the largest
  /// number where nobody knows.
  virtual std::uint64_t free_bytes(const std::string& path) {
    return std::numeric_limits<std::uint64_t>::max();
  }
  /// Locks the file, which is made where it is missing, against other processes of this machine and,
  /// where the file system can, of others. Waits `patience_seconds` for one that is about to end;
  /// then throws RunError that names who holds it. Null where files cannot be locked.
  virtual std::unique_ptr<FileLock> lock_file(const std::string& path, double patience_seconds) {
    return nullptr;
  }
  /// Makes creations, renames and removals inside the folder durable.
  virtual void sync_directory(const std::string& path) = 0;
};

/// The operating system's file system. Stateless; lives as long as the program.
FileSystem& posix_file_system();

/// Fills `out` from byte `offset` on. Throws RunError naming file and byte where the file ends before.
void read_exactly(const ReadableFile& file, std::uint64_t offset, std::span<char> out);

/// Reads a whole file. Throws RunError when it is larger than `max_bytes`.
std::string read_whole_file(FileSystem& files, const std::string& path, std::uint64_t max_bytes);

/// Writes temp file, fsync, rename, fsync of the folder: readers see the old bytes or the new. A
/// symbolic link stays one: what it names is written; a device or pipe is written to.
void write_file_atomically(FileSystem& files, const std::string& path, std::string_view bytes);

}  // namespace titan::base
