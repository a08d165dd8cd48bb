#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file_error.h"
#include "titan/base/file_system.h"

namespace titan::test {

/// A disk in memory that loses, at a crash, what was not made durable: bytes that no `sync` of their file
/// covered, names that were made, moved or removed since the last `sync_directory` of their folder. Any
/// thread.
class CrashingFileSystem final : public base::FileSystem {
 public:
  /// The machine loses power: nothing survives but what was made durable.
  void crash() {
    const std::lock_guard lock(mutex_);
    lose(*root_, nullptr);
  }
  /// The same, but of the rest any part may have reached the disk, as `seed` says.
  void crash(unsigned seed) {
    const std::lock_guard lock(mutex_);
    std::mt19937 luck(seed);
    lose(*root_, &luck);
  }

  std::unique_ptr<base::ReadableFile> open_for_reading(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    return std::make_unique<Reader>(file_at(path, "open"), path, mutex_);
  }

  std::unique_ptr<base::WritableFile> open_for_writing(const std::string& path,
                                                       bool truncate) override {
    const std::lock_guard lock(mutex_);
    const auto [folder, name] = parent_of(path, "open for writing");
    std::shared_ptr<Node>& node = folder->now[name];
    if (!node) node = std::make_shared<Node>();
    if (node->is_folder) throw base::file_error("open for writing", path, EISDIR);
    if (truncate) node->bytes.clear();
    return std::make_unique<Writer>(node, mutex_);
  }

  bool exists(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    return find(path) != nullptr;
  }

  bool is_directory(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    const auto node = find(path);
    return node && node->is_folder;
  }

  std::vector<std::string> list_directory(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, node] : folder_at(path, "list")->now) names.push_back(name);
    return names;
  }

  void create_directories(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Node> node = root_;
    for (const std::string& part : parts_of(path)) {
      std::shared_ptr<Node>& next = node->now[part];
      if (!next) {
        next = std::make_shared<Node>();
        next->is_folder = true;
      }
      if (!next->is_folder) throw base::file_error("create the folder", path, ENOTDIR);
      node = next;
    }
  }

  void rename(const std::string& from, const std::string& to) override {
    const std::lock_guard lock(mutex_);
    const auto [old_folder, old_name] = parent_of(from, "rename");
    const auto [new_folder, new_name] = parent_of(to, "rename");
    const auto node = find(from);
    if (!node) throw base::file_error("rename '" + from + "' to", to, ENOENT);
    old_folder->now.erase(old_name);
    new_folder->now[new_name] = node;
  }

  void remove_file(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    file_at(path, "remove");
    const auto [folder, name] = parent_of(path, "remove");
    folder->now.erase(name);
  }

  void remove_directory(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    if (!folder_at(path, "remove the folder")->now.empty()) {
      throw base::file_error("remove the folder", path, ENOTEMPTY);
    }
    const auto [folder, name] = parent_of(path, "remove the folder");
    folder->now.erase(name);
  }

  void sync_directory(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    const auto folder = folder_at(path, "sync the folder");
    folder->durable = folder->now;
  }

 private:
  /// A file or a folder.
  struct Node {
    bool is_folder = false;
    std::string bytes, durable_bytes;
    std::map<std::string, std::shared_ptr<Node>> now, durable;
  };

  class Reader : public base::ReadableFile {
   public:
    Reader(std::shared_ptr<Node> node, std::string path, std::mutex& mutex)
        : node_(std::move(node)),
          path_(std::move(path)),
          mutex_(mutex),
          size_(node_->bytes.size()) {}
    std::size_t read_at(std::uint64_t offset, std::span<char> out) const override {
      const std::lock_guard lock(mutex_);
      return offset < node_->bytes.size() ? node_->bytes.copy(out.data(), out.size(), offset) : 0;
    }
    std::uint64_t size() const override { return size_; }
    const std::string& path() const override { return path_; }

   private:
    std::shared_ptr<Node> node_;
    std::string path_;
    std::mutex& mutex_;
    std::uint64_t size_;
  };

  class Writer : public base::WritableFile {
   public:
    Writer(std::shared_ptr<Node> node, std::mutex& mutex) : node_(std::move(node)), mutex_(mutex) {}
    void append(std::string_view bytes) override {
      const std::lock_guard lock(mutex_);
      node_->bytes += bytes;
    }
    void sync() override {
      const std::lock_guard lock(mutex_);
      node_->durable_bytes = node_->bytes;
    }
    void close() override {}

   private:
    std::shared_ptr<Node> node_;
    std::mutex& mutex_;
  };

  static std::vector<std::string> parts_of(const std::string& path) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin < path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      if (end > begin && path.substr(begin, end - begin) != ".") {
        parts.push_back(path.substr(begin, end - begin));
      }
      begin = end + 1;
    }
    return parts;
  }

  std::shared_ptr<Node> find(const std::string& path) const {
    std::shared_ptr<Node> node = root_;
    for (const std::string& part : parts_of(path)) {
      const auto next = node->now.find(part);
      if (next == node->now.end()) return nullptr;
      node = next->second;
    }
    return node;
  }

  std::shared_ptr<Node> folder_at(const std::string& path, std::string_view action) const {
    auto node = find(path);
    if (!node) throw base::file_error(action, path, ENOENT);
    if (!node->is_folder) throw base::file_error(action, path, ENOTDIR);
    return node;
  }

  std::shared_ptr<Node> file_at(const std::string& path, std::string_view action) const {
    auto node = find(path);
    if (!node) throw base::file_error(action, path, ENOENT);
    if (node->is_folder) throw base::file_error(action, path, EISDIR);
    return node;
  }

  std::pair<std::shared_ptr<Node>, std::string> parent_of(const std::string& path,
                                                          std::string_view action) const {
    const std::vector<std::string> parts = parts_of(path);
    const std::size_t slash = path.rfind('/');
    const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash);
    return {folder_at(parent, action), parts.back()};
  }

  /// What is left of a node after a crash; `luck`: of what was not durable, anything may be.
  static void lose(Node& node, std::mt19937* luck) {
    if (node.is_folder) {
      auto left = node.durable;
      for (const auto& [name, child] : node.now) {
        if (luck != nullptr && (*luck)() % 2 == 0) left[name] = child;
      }
      for (const auto& [name, child] : node.durable) {
        if (luck != nullptr && (*luck)() % 2 == 0 && node.now.count(name) == 0) left.erase(name);
      }
      node.now = node.durable = left;
      for (const auto& [name, child] : node.now) lose(*child, luck);
      return;
    }
    if (luck != nullptr && node.bytes != node.durable_bytes && (*luck)() % 2 == 0) {
      node.bytes.resize((*luck)() % (node.bytes.size() + 1));
      // The length may be on the disk before the bytes are.
      if (!node.bytes.empty() && (*luck)() % 2 == 0) node.bytes.back() = '\0';
    } else {
      node.bytes = node.durable_bytes;
    }
    node.durable_bytes = node.bytes;
  }

  std::shared_ptr<Node> root_ = [] {
    auto root = std::make_shared<Node>();
    root->is_folder = true;
    return root;
  }();
  std::mutex mutex_;
};

}  // namespace titan::test
