#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "titan/base/errors.h"
#include "titan/base/file_kind.h"
#include "titan/base/file_system.h"
#include "titan/formats/safetensors/safetensors.h"

namespace titan::formats {
namespace {

constexpr std::uint64_t kMaxIndexBytes = 100'000'000;

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw RunError(concat("'", path, "' is no index of safetensors files: ", why));
}

/// A file beside the index; nothing that leads out of its folder.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

/// Refuses deep nesting, which the parser unfolds by recursion when the value is destroyed, and names
/// that come twice.
class Limits {
 public:
  explicit Limits(const std::string& path) : path_(path) {}
  bool operator()(int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    if (depth > 8) fail(path_, "it is nested too deeply");
    if (event == nlohmann::json::parse_event_t::key && depth == 2 &&
        !names_.insert(value.get<std::string>()).second) {
      fail(path_, concat("'", value.get<std::string>(), "' is there twice"));
    }
    return true;
  }

 private:
  const std::string& path_;
  std::set<std::string> names_;
};

nlohmann::json parse(const std::string& text, const std::string& path) {
  try {
    return nlohmann::json::parse(text, Limits(path));
  } catch (const nlohmann::json::exception&) {
    fail(path, "it is not JSON");
  }
}

}  // namespace

std::string safetensors_file_name(std::size_t number, std::size_t count) {
  char name[80];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", number, count);
  return name;
}

SafetensorsIndex read_safetensors_index(base::FileSystem& files, const std::string& path) {
  const std::string text = base::read_whole_file(files, path, kMaxIndexBytes);
  base::refuse_other_kind(path, text);
  const nlohmann::json json = parse(text, path);
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (!json.is_object() || map == json.end() || !map->is_object() || map->empty()) {
    fail(path, "it has no 'weight_map' with tensors");
  }
  SafetensorsIndex index;
  for (const auto& [name, file] : map->items()) {
    if (!file.is_string() || !is_plain_name(file.get<std::string>())) {
      fail(path, concat("tensor '", name, "' is in ", file.dump(-1, ' ', true),
                        ", which is no name of a file beside it"));
    }
    index.file_by_name[name] = file.get<std::string>();
  }
  const auto metadata = json.find("metadata");
  if (metadata != json.end() && metadata->is_object()) {
    const auto total = metadata->find("total_size");
    if (total != metadata->end() && total->is_number_unsigned()) {
      index.total_bytes = total->get<std::uint64_t>();
    }
  }
  return index;
}

void write_safetensors_index(base::FileSystem& files, const std::string& path,
                             const SafetensorsIndex& index) {
  const nlohmann::ordered_json json = {{"metadata", {{"total_size", index.total_bytes}}},
                                       {"weight_map", index.file_by_name}};
  base::write_file_atomically(files, path, json.dump(2) + "\n");
}

}  // namespace titan::formats
