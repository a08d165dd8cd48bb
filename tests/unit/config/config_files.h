#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/config/command_line.h"

namespace titan::config {

/// TOML files in memory, and the config that a command line makes of them.
class ConfigFiles : private base::FileSystem {
 public:
  ConfigFiles() = default;
  explicit ConfigFiles(std::string_view config_toml) { write("config.toml", config_toml); }

  void write(const std::string& path, std::string_view text) { texts_[path] = text; }

  /// All other paths exist.
  void remove(const std::string& path) { missing_.insert(path); }
  void make_folder(const std::string& path, std::vector<std::string> names) {
    folders_[path] = std::move(names);
  }

  CommandLine parse(std::vector<std::string> args, std::int64_t world_size = 1,
                    std::optional<std::int64_t> simulated_ranks = std::nullopt,
                    const ModelJudge& models = {}) {
    return parse_command_line(args, *this, world_size, simulated_ranks, models);
  }
  /// Loads without the rules that only a run must obey.
  CommandLine load(std::vector<std::string> args) {
    args.push_back("--print-config");
    return parse(std::move(args));
  }
  /// The complaints about "config.toml", one per line, without their header.
  std::string problems() { return problems({"--job.config_file=config.toml"}); }
  std::string problems(std::vector<std::string> args, std::int64_t world_size = 1) {
    const std::string message =
        test::message_of<ConfigError>([&] { parse(std::move(args), world_size); });
    return message.substr(message.find('\n') + 1);
  }

 private:
  class Text : public base::ReadableFile {
   public:
    Text(std::string path, std::string text) : path_(std::move(path)), text_(std::move(text)) {}
    std::size_t read_at(std::uint64_t offset, std::span<char> out) const override {
      const std::string_view rest = std::string_view(text_).substr(offset, out.size());
      std::memcpy(out.data(), rest.data(), rest.size());
      return rest.size();
    }
    std::uint64_t size() const override { return text_.size(); }
    const std::string& path() const override { return path_; }

   private:
    std::string path_;
    std::string text_;
  };

  std::unique_ptr<base::ReadableFile> open_for_reading(const std::string& path) override {
    if (!texts_.contains(path)) {
      throw RunError("cannot open '" + path + "': No such file or directory");
    }
    return std::make_unique<Text>(path, texts_[path]);
  }
  bool exists(const std::string& path) override { return !missing_.contains(path); }
  bool is_directory(const std::string& path) override { return folders_.contains(path); }

  [[noreturn]] static void unexpected() { throw InternalError("reading a config writes nothing"); }
  std::unique_ptr<base::WritableFile> open_for_writing(const std::string&, bool) override {
    unexpected();
  }
  std::vector<std::string> list_directory(const std::string& path) override {
    return folders_.at(path);
  }
  void create_directories(const std::string&) override { unexpected(); }
  void rename(const std::string&, const std::string&) override { unexpected(); }
  void remove_file(const std::string&) override { unexpected(); }
  void remove_directory(const std::string&) override { unexpected(); }
  void sync_directory(const std::string&) override { unexpected(); }

  std::map<std::string, std::string> texts_;
  std::set<std::string> missing_;
  std::map<std::string, std::vector<std::string>> folders_ = {{"./outputs", {}}};
};

}  // namespace titan::config
