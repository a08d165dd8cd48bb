#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file_error.h"
#include "titan/base/file_system.h"

namespace titan::test {

/// A real file system whose disk breaks on demand. Every call, on it or on a file it opened,
/// counts; so a test can repeat a story with its 1st, 2nd, 3rd... call failing.
class FaultyFileSystem : public base::FileSystem {
 public:
  explicit FaultyFileSystem(base::FileSystem& real = base::posix_file_system()) : real_(real) {}

  /// The `nth` call from now (1: the next), and `more` after it, throw `error`'s RunError and do
  /// nothing else.
  void fail_call(int nth, int error, int more = 0) {
    first_failing_ = calls_ + nth;
    last_failing_ = first_failing_ + more;
    error_ = error;
  }
  /// Room for `bytes` more; then an append writes what fits and throws ENOSPC.
  void leave_space(std::uint64_t bytes) { space_ = bytes; }
  /// Nobody can tell any more how much room there is.
  void hide_space() { hides_space_ = true; }
  /// From now on everything works.
  void repair() {
    last_failing_ = 0;
    space_ = std::numeric_limits<std::uint64_t>::max();
  }
  int calls() const { return calls_; }

  std::unique_ptr<base::ReadableFile> open_for_reading(const std::string& path) override {
    count("open", path);
    return std::make_unique<Reader>(*this, real_.open_for_reading(path));
  }
  std::unique_ptr<base::WritableFile> open_for_writing(const std::string& path,
                                                       bool truncate) override {
    count("open for writing", path);
    return std::make_unique<Writer>(*this, real_.open_for_writing(path, truncate), path);
  }
  bool exists(const std::string& path) override {
    count("look up", path);
    return real_.exists(path);
  }
  bool is_directory(const std::string& path) override {
    count("look up", path);
    return real_.is_directory(path);
  }
  std::vector<std::string> list_directory(const std::string& path) override {
    count("list", path);
    return real_.list_directory(path);
  }
  void create_directories(const std::string& path) override {
    count("create the folder", path);
    real_.create_directories(path);
  }
  void rename(const std::string& from, const std::string& to) override {
    count("rename", from);
    real_.rename(from, to);
  }
  void remove_file(const std::string& path) override {
    count("remove", path);
    real_.remove_file(path);
  }
  void remove_directory(const std::string& path) override {
    count("remove the folder", path);
    real_.remove_directory(path);
  }
  /// What `leave_space` left, if less.
  std::uint64_t free_bytes(const std::string& path) override {
    count("ask for the free space of", path);
    return hides_space_ ? std::numeric_limits<std::uint64_t>::max()
                        : std::min<std::uint64_t>(space_, real_.free_bytes(path));
  }
  void sync_directory(const std::string& path) override {
    count("sync the folder", path);
    real_.sync_directory(path);
  }

 private:
  class Reader : public base::ReadableFile {
   public:
    Reader(FaultyFileSystem& disk, std::unique_ptr<base::ReadableFile> file)
        : disk_(disk), file_(std::move(file)) {}
    std::size_t read_at(std::uint64_t offset, std::span<char> out) const override {
      disk_.count("read", path());
      return file_->read_at(offset, out);
    }
    std::uint64_t size() const override { return file_->size(); }
    const std::string& path() const override { return file_->path(); }

   private:
    FaultyFileSystem& disk_;
    std::unique_ptr<base::ReadableFile> file_;
  };

  class Writer : public base::WritableFile {
   public:
    Writer(FaultyFileSystem& disk, std::unique_ptr<base::WritableFile> file, std::string path)
        : disk_(disk), file_(std::move(file)), path_(std::move(path)) {}
    void append(std::string_view bytes) override {
      disk_.count("write", path_);
      if (bytes.size() > disk_.space_) {
        file_->append(bytes.substr(0, disk_.space_));
        disk_.space_ = 0;
        throw base::file_error("write", path_, ENOSPC);
      }
      disk_.space_ -= bytes.size();
      file_->append(bytes);
    }
    void sync() override {
      disk_.count("sync", path_);
      file_->sync();
    }
    void close() override {
      disk_.count("close", path_);
      file_->close();
    }

   private:
    FaultyFileSystem& disk_;
    std::unique_ptr<base::WritableFile> file_;
    std::string path_;
  };

  void count(std::string_view action, const std::string& path) {
    ++calls_;
    if (first_failing_ <= calls_ && calls_ <= last_failing_) {
      throw base::file_error(action, path, error_);
    }
  }

  base::FileSystem& real_;
  std::atomic<int> calls_ = 0;  // files may be read in another thread
  int first_failing_ = 0;
  int last_failing_ = 0;
  int error_ = 0;
  bool hides_space_ = false;
  std::atomic<std::uint64_t> space_ = std::numeric_limits<std::uint64_t>::max();
};

}  // namespace titan::test
