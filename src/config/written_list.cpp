#include "config/written_list.h"

#include <toml++/toml.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "config/toml_depth.h"

namespace titan::config {
namespace {

using Json = nlohmann::json;

/// JSON has escapes that TOML has not (`\/`, a pair of surrogates), TOML has 'literal strings'.
Json read_json(std::string_view text) {
  // Of three levels none is a list of lists, and whoever nests thousands does not mean one.
  const auto is_shallow = [](int depth, Json::parse_event_t, Json&) { return depth < 4; };
  return Json::parse(text, is_shallow, /*allow_exceptions=*/false);
}

Json json_of(const toml::node& node) {
  if (const auto* word = node.as_string()) return word->get();
  const toml::array* array = node.as_array();
  if (array == nullptr) return Json();
  Json list = Json::array();
  for (const toml::node& element : *array) list.push_back(json_of(element));
  return list;
}

Json read_toml_array(std::string_view text) try {
  if (find_deep_key(text)) return {};
  const toml::table table = toml::parse("list = " + std::string(text));
  return table.size() == 1 ? json_of(*table.get("list")) : Json();
} catch (const toml::parse_error&) {
  return {};
}

/// The array that `text` spells; no array when it spells none.
Json read_array(std::string_view text) {
  if (!text.starts_with('[') || !text.ends_with(']')) return {};
  Json json = read_json(text);
  return json.is_array() ? json : read_toml_array(text);
}

std::optional<StringList> strings_in(const Json& array) {
  if (!array.is_array()) return std::nullopt;
  StringList list;
  for (const Json& element : array) {
    if (!element.is_string()) return std::nullopt;
    list.push_back(element.get<std::string>());
  }
  return list;
}

}  // namespace

std::optional<StringList> read_written_list(std::string_view text) {
  return strings_in(read_array(text));
}

std::optional<StringLists> read_written_lists(std::string_view text) {
  const Json array = read_array(text);
  if (!array.is_array()) return std::nullopt;
  StringLists lists;
  for (const Json& element : array) {
    std::optional<StringList> list = strings_in(element);
    if (!list) return std::nullopt;
    lists.push_back(*std::move(list));
  }
  return lists;
}

}  // namespace titan::config
