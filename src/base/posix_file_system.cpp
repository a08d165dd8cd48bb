#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <utility>

#include "base/file_error.h"
#include "titan/base/clock.h"
#include "titan/base/descriptor.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::base {
namespace {

/// Repeats a system call that a signal interrupted.
template <class Call>
auto retry_on_signal(const Call& call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

class PosixReadableFile : public ReadableFile {
 public:
  explicit PosixReadableFile(const std::string& path)
      : path_(path), file_(retry_on_signal([&] {
          // O_NONBLOCK: opening a pipe that nobody writes would wait forever.
          return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        })) {
    struct stat status;
    if (!file_.is_open() || ::fstat(file_.get(), &status) != 0) {
      throw file_error("open", path, errno);
    }
    if (S_ISDIR(status.st_mode)) {
      throw file_error("read", path, EISDIR);
    }
    if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode)) {
      throw RunError(concat("cannot read '", path, "': it is a pipe or a socket; give a file"));
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
  }

  std::size_t read_at(std::uint64_t offset, std::span<char> out) const override {
    std::size_t done = 0;
    while (done < out.size()) {
      const ssize_t count = retry_on_signal([&] {
        return ::pread(file_.get(), out.data() + done, out.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (count < 0) {
        throw file_error("read", path_, errno);
      }
      if (count == 0) {
        break;
      }
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

  std::uint64_t size() const override { return size_; }
  const std::string& path() const override { return path_; }

 private:
  std::string path_;
  Descriptor file_;
  std::uint64_t size_ = 0;
};

class PosixWritableFile : public WritableFile {
 public:
  PosixWritableFile(const std::string& path, bool truncate)
      : path_(path), file_(retry_on_signal([&] {
          return ::open(path.c_str(),
                        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (truncate ? O_TRUNC : 0), 0666);
        })) {
    if (!file_.is_open()) {
      throw file_error("open for writing", path, errno);
    }
  }

  void append(std::string_view bytes) override {
    TITAN_CHECK(file_.is_open(), "append to a closed file ", path_);
    while (!bytes.empty()) {
      const ssize_t count =
          retry_on_signal([&] { return ::write(file_.get(), bytes.data(), bytes.size()); });
      if (count < 0) {
        throw file_error("write", path_, errno);
      }
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  void start_write_back() override {
    TITAN_CHECK(file_.is_open(), "write-back of a closed file ", path_);
    // The whole file: pages that are clean or under way already cost nothing.
    static_cast<void>(::sync_file_range(file_.get(), 0, 0, SYNC_FILE_RANGE_WRITE));
  }

  void sync() override {
    TITAN_CHECK(file_.is_open(), "sync of a closed file ", path_);
    if (retry_on_signal([&] { return ::fsync(file_.get()); }) != 0) {
      throw file_error("sync", path_, errno);
    }
  }

  void close() override {
    if (const int error = file_.close(); error != 0) {
      throw file_error("close", path_, error);
    }
  }

 private:
  std::string path_;
  Descriptor file_;
};

class PosixFileLock : public FileLock {
 public:
  explicit PosixFileLock(const std::string& path)
      : file_(retry_on_signal(
            [&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666); })) {
    if (!file_.is_open()) throw file_error("open for writing", path, errno);
  }

  /// False when another process holds it.
  bool try_lock() {
    return retry_on_signal([&] { return ::flock(file_.get(), LOCK_EX | LOCK_NB); }) == 0 ||
           errno != EWOULDBLOCK;
  }

  /// For whoever comes and finds it locked.
  void leave_name() {
    char host[256] = {};
    ::gethostname(host, sizeof host - 1);
    const std::string name = concat("process ", ::getpid(), " on ", host);
    if (::ftruncate(file_.get(), 0) != 0) return;
    static_cast<void>(::pwrite(file_.get(), name.data(), name.size(), 0) == 0);
  }

  std::string name_left() const {
    char name[300] = {};
    const ssize_t length = ::pread(file_.get(), name, sizeof name - 1, 0);
    return length > 0 ? std::string(name, static_cast<std::size_t>(length)) : "another process";
  }

 private:
  Descriptor file_;
};

class PosixFileSystem : public FileSystem {
 public:
  std::unique_ptr<FileLock> lock_file(const std::string& path, double patience_seconds) override {
    auto lock = std::make_unique<PosixFileLock>(path);
    const double end = monotonic_seconds() + patience_seconds;
    while (!lock->try_lock()) {
      if (monotonic_seconds() > end) {
        throw RunError(concat("'", path, "' is locked by ", lock->name_left(),
                              ": two jobs would overwrite each other's files. Give each a folder "
                              "of its own, or wait until the other has ended"));
      }
      ::usleep(100'000);
    }
    lock->leave_name();
    return lock;
  }

  std::unique_ptr<ReadableFile> open_for_reading(const std::string& path) override {
    return std::make_unique<PosixReadableFile>(path);
  }

  std::unique_ptr<WritableFile> open_for_writing(const std::string& path, bool truncate) override {
    return std::make_unique<PosixWritableFile>(path, truncate);
  }

  bool exists(const std::string& path) override {
    struct stat status;
    return find(path, status);
  }

  bool is_directory(const std::string& path) override {
    struct stat status;
    return find(path, status) && S_ISDIR(status.st_mode);
  }

  bool is_special(const std::string& path) override {
    struct stat status;
    return find(path, status) && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
  }

  std::string resolve_links(const std::string& path) override {
    const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), ::free);
    return real ? real.get() : path;
  }

  std::vector<std::string> list_directory(const std::string& path) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
    if (!directory) {
      throw file_error("list", path, errno);
    }
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(directory.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") {
        names.emplace_back(name);
      }
      errno = 0;
    }
    if (errno != 0) {
      throw file_error("list", path, errno);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  void create_directories(const std::string& path) override {
    for (std::size_t end = 0; end != std::string::npos;) {
      end = path.find('/', end + 1);
      const std::string prefix = path.substr(0, end);
      if (::mkdir(prefix.c_str(), 0777) == 0) {
        continue;
      }
      const int error = errno;  // a network or read-only mount may refuse what exists already
      if (!is_directory(prefix)) {
        throw file_error("create the folder", path, error == EEXIST ? ENOTDIR : error);
      }
    }
  }

  void rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      throw file_error("rename '" + from + "' to", to, errno);
    }
  }

  void remove_file(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) {
      throw file_error("remove", path, errno);
    }
  }

  void remove_directory(const std::string& path) override {
    if (::rmdir(path.c_str()) != 0) {
      throw file_error("remove the folder", path, errno);
    }
  }

  std::uint64_t free_bytes(const std::string& path) override {
    struct statvfs status;
    if (retry_on_signal([&] { return ::statvfs(path.c_str(), &status); }) != 0) {
      throw file_error("ask for the free space of", path, errno);
    }
    std::uint64_t bytes = 0;
    return __builtin_mul_overflow(status.f_bavail, status.f_frsize, &bytes)
               ? std::numeric_limits<std::uint64_t>::max()
               : bytes;
  }

  void sync_directory(const std::string& path) override {
    const Descriptor directory(
        retry_on_signal([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!directory.is_open()) {
      throw file_error("open the folder", path, errno);
    }
    // EINVAL: a file system that cannot sync folders at all (some network mounts).
    if (retry_on_signal([&] { return ::fsync(directory.get()); }) != 0 && errno != EINVAL) {
      throw file_error("sync the folder", path, errno);
    }
  }

 private:
  static bool find(const std::string& path, struct stat& status) {
    if (::stat(path.c_str(), &status) == 0) {
      return true;
    }
    if (errno != ENOENT && errno != ENOTDIR) {
      throw file_error("look up", path, errno);
    }
    return false;
  }
};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem files;
  return files;
}

}  // namespace titan::base
