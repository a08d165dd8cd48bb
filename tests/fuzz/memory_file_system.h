#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::test {

/// Holds files for reading only.
class MemoryFileSystem final : public base::FileSystem {
 public:
  /// One file, which every path names.
  explicit MemoryFileSystem(std::string bytes) : bytes_(std::move(bytes)) {}
  /// Files by their paths.
  explicit MemoryFileSystem(std::map<std::string, std::string> files) : files_(std::move(files)) {}

  std::unique_ptr<base::ReadableFile> open_for_reading(const std::string& path) override {
    if (files_.empty()) return std::make_unique<File>(bytes_, path);
    const auto file = files_.find(path);
    if (file == files_.end()) throw RunError("no file '" + path + "'");
    return std::make_unique<File>(file->second, path);
  }
  std::unique_ptr<base::WritableFile> open_for_writing(const std::string&, bool) override {
    refuse();
  }
  bool exists(const std::string& path) override { return files_.empty() || files_.count(path) > 0; }
  bool is_directory(const std::string&) override { return false; }
  std::vector<std::string> list_directory(const std::string&) override { return {}; }
  void create_directories(const std::string&) override { refuse(); }
  void rename(const std::string&, const std::string&) override { refuse(); }
  void remove_file(const std::string&) override { refuse(); }
  void remove_directory(const std::string&) override { refuse(); }
  void sync_directory(const std::string&) override { refuse(); }

 private:
  class File final : public base::ReadableFile {
   public:
    File(std::string_view bytes, std::string path) : bytes_(bytes), path_(std::move(path)) {}
    std::size_t read_at(std::uint64_t offset, std::span<char> out) const override {
      if (offset >= bytes_.size()) return 0;
      return bytes_.copy(out.data(), out.size(), offset);
    }
    std::uint64_t size() const override { return bytes_.size(); }
    const std::string& path() const override { return path_; }

   private:
    std::string_view bytes_;
    std::string path_;
  };

  [[noreturn]] static void refuse() {
    throw InternalError("a memory file system cannot be changed");
  }

  std::string bytes_;
  std::map<std::string, std::string> files_;
};

}  // namespace titan::test
