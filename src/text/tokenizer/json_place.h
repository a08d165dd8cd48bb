#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/json_document.h"

namespace titan::text {

/// A value in a JSON file that knows where it stands, so that every complaint about it can say so.
/// Refers to a document and a file name that outlive it.
class JsonPlace {
 public:
  JsonPlace(const Json& value, const std::string& file, std::string pointer = "")
      : value_(value), file_(file), pointer_(std::move(pointer)) {}

  const Json& value() const { return value_; }
  bool is_null() const { return value_.is_null(); }
  bool is_array() const { return value_.is_array(); }
  bool is_object() const { return value_.is_object(); }
  /// Elements of an array or members of an object.
  std::size_t size() const { return value_.size(); }

  /// The member of that name. A missing one throws.
  JsonPlace at(std::string_view key) const;
  /// Nothing when it is missing or null.
  std::optional<JsonPlace> find(std::string_view key) const;
  /// The element of an array.
  JsonPlace at(std::size_t index) const;
  /// All elements of what must be an array.
  std::vector<JsonPlace> items() const;

  /// The value, which must have that type.
  const std::string& text() const;
  bool flag() const;
  std::uint64_t count() const;

  /// The member of that name, or the default when it is missing or null.
  bool flag_or(std::string_view key, bool otherwise) const;

  /// Throws unless this is an object with no other keys than these.
  void expect_keys(std::initializer_list<std::string_view> known) const;
  void expect_array() const;

  /// Throws RunError "message (file: pointer)".
  [[noreturn]] void fail(std::string_view message) const;
  /// Throws RunError "not available in this build yet: what (file: pointer)".
  [[noreturn]] void refuse(std::string_view what) const;

 private:
  const Json& value_;
  const std::string& file_;
  std::string pointer_;
};

}  // namespace titan::text
