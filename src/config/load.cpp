#include "config/load.h"

#include <algorithm>
#include <filesystem>

#include "titan/base/errors.h"

namespace titan::config {
namespace {

constexpr std::uint64_t kMaxFileBytes = 1 << 20;
constexpr std::size_t kMaxChain = 32;

/// "configs/./x.toml" and "configs/x.toml" are the same file of a circle.
std::string normal(const std::filesystem::path& path) { return path.lexically_normal().string(); }

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    text += (text.empty() ? "" : " -> ") + name;
  }
  return text;
}

}  // namespace

void Loader::load_file(const std::string& given_path, const std::string& named_by) {
  const std::string path = normal(given_path);
  const bool circle = std::ranges::find(chain_, path) != chain_.end();
  if (circle || chain_.size() == kMaxChain) {
    problems_.push_back(
        {named_by, concat(circle ? "base files form a circle: " : "too many base files: ",
                          joined(chain_), " -> ", path)});
    return;
  }
  chain_.push_back(path);
  try {
    if (files_.is_directory(path)) {
      throw RunError(concat("'", path, "' is a directory, not a TOML file"));
    }
    const std::string text = base::read_whole_file(files_, path, kMaxFileBytes);
    const TomlFile file = read_toml(text, path, problems_);
    if (file.base) {
      load_base(file, path);
    }
    std::ranges::for_each(file.assignments, [this](const Assignment& a) { apply(a); });
  } catch (const RunError& error) {
    problems_.push_back({named_by, error.what()});
  }
  chain_.pop_back();
}

void Loader::load_base(const TomlFile& file, const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  load_file((folder / *file.base).string(), file.base_origin);
}

void Loader::apply(const Assignment& assignment) {
  assignment.option->set(config, assignment.value);
  origins.set(assignment.option->full_name(), assignment.origin);
}

}  // namespace titan::config
