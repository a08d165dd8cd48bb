#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::base {
namespace {

std::string parent_folder(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    return ".";
  }
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// A name beside `path` (rename does not cross file systems) that no other writer uses.
std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> count = 0;
  return concat(path, ".tmp.", ::getpid(), ".", count++);
}

void write_and_sync(FileSystem& files, const std::string& path, std::string_view bytes) {
  const std::unique_ptr<WritableFile> file = files.open_for_writing(path, /*truncate=*/true);
  file->append(bytes);
  file->sync();
  file->close();
}

}  // namespace

void read_exactly(const ReadableFile& file, std::uint64_t offset, std::span<char> out) {
  if (const std::size_t count = file.read_at(offset, out); count != out.size()) {
    throw RunError(concat("'", file.path(), "' ends at byte ", offset + count, ", but ", out.size(),
                          " bytes are expected from byte ", offset,
                          " on: it is damaged, or became shorter while it was read"));
  }
}

std::string read_whole_file(FileSystem& files, const std::string& path, std::uint64_t max_bytes) {
  const std::unique_ptr<ReadableFile> file = files.open_for_reading(path);
  // The size is a hint only: the file may grow or shrink meanwhile, and /proc says 0. One byte
  // more than expected shows the end of the file without a second read.
  constexpr std::uint64_t kMinRead = 4096;
  std::string bytes;
  std::uint64_t wanted = std::max(file->size(), kMinRead);
  for (;;) {
    wanted = std::min(wanted, max_bytes) + 1;
    const std::size_t start = bytes.size();
    bytes.resize(wanted);
    bytes.resize(start + file->read_at(start, std::span(bytes).subspan(start)));
    if (bytes.size() > max_bytes) {
      throw RunError(concat("'", path, "' is too large: more than ", max_bytes, " bytes"));
    }
    if (bytes.size() < wanted) {
      return bytes;
    }
    wanted *= 2;
  }
}

void write_file_atomically(FileSystem& files, const std::string& link, std::string_view bytes) {
  const std::string path = files.resolve_links(link);
  if (files.is_special(path)) {
    const std::unique_ptr<WritableFile> file = files.open_for_writing(path, /*truncate=*/false);
    file->append(bytes);
    return file->close();
  }
  const std::string temporary = temporary_name(path);
  try {
    write_and_sync(files, temporary, bytes);
    files.rename(temporary, path);
  } catch (...) {
    try {
      files.remove_file(temporary);
    } catch (const RunError&) {
      // Never created, or the disk is gone as well: the first error is the one to tell.
    }
    throw;
  }
  files.sync_directory(parent_folder(path));
}

}  // namespace titan::base
