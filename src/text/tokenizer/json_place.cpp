#include "text/tokenizer/json_place.h"

#include <algorithm>

#include "titan/base/errors.h"

namespace titan::text {

JsonPlace JsonPlace::at(std::string_view key) const {
  if (auto member = find(key)) return *member;
  fail(concat("'", key, "' is missing"));
}

std::optional<JsonPlace> JsonPlace::find(std::string_view key) const {
  if (!value_.is_object()) fail("must be an object");
  const auto member = value_.find(std::string(key));
  if (member == value_.end() || member->is_null()) return std::nullopt;
  return JsonPlace(*member, file_, pointer_ + pointer_step(key));
}

JsonPlace JsonPlace::at(std::size_t index) const {
  return JsonPlace(value_.at(index), file_, concat(pointer_, "/", index));
}

std::vector<JsonPlace> JsonPlace::items() const {
  expect_array();
  std::vector<JsonPlace> items;
  for (std::size_t i = 0; i < size(); ++i) items.push_back(at(i));
  return items;
}

const std::string& JsonPlace::text() const {
  if (!value_.is_string()) fail("must be a string");
  return value_.get_ref<const std::string&>();
}

bool JsonPlace::flag() const {
  if (!value_.is_boolean()) fail("must be true or false");
  return value_.get<bool>();
}

std::uint64_t JsonPlace::count() const {
  if (!value_.is_number_unsigned()) fail("must be a whole number, not negative");
  return value_.get<std::uint64_t>();
}

bool JsonPlace::flag_or(std::string_view key, bool otherwise) const {
  const auto member = find(key);
  return member ? member->flag() : otherwise;
}

void JsonPlace::expect_keys(std::initializer_list<std::string_view> known) const {
  if (!value_.is_object()) fail("must be an object");
  for (const auto& [key, member] : value_.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const auto type = value_.find("type");
    const bool has_type = type != value_.end() && type->is_string();
    refuse(concat("the key '", key, "'", has_type ? " of " + type->get<std::string>() : ""));
  }
}

void JsonPlace::expect_array() const {
  if (!value_.is_array()) fail("must be a list");
}

void JsonPlace::fail(std::string_view message) const {
  throw RunError(concat(message, " (", file_, ": ", pointer_.empty() ? "/" : pointer_, ")"));
}

void JsonPlace::refuse(std::string_view what) const {
  fail(concat("not available in this build yet: ", what));
}

}  // namespace titan::text
