#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace titan::text {

/// Keeps the order of keys, which decides the ids of added tokens.
using Json = nlohmann::ordered_json;

/// Builds a small document from parser events, within limits on depth, values and keys, so that a
/// hostile file cannot exhaust memory or the stack. Subclasses may keep parts of the file out of
/// the document. Methods return false never; they throw RunError.
class JsonDocumentBuilder : public nlohmann::json_sax<Json> {
 public:
  Json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool key(string_t& key) override;
  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::detail::exception& error) override;

 protected:
  /// The place of the value that comes next, as a JSON pointer.
  std::string pointer() const;
  std::size_t depth() const { return open_.size(); }
  const std::string& last_key() const { return key_; }
  bool put(Json value);

 private:
  bool open(Json container);
  bool close();
  Json& attach(Json value);

  struct Level {
    Json* container;
    std::string name;  // of the container in the one around it
  };
  Json root_;
  std::vector<Level> open_;
  std::string key_;
  std::size_t values_ = 0;
};

/// Feeds `text` to `builder`. Throws RunError naming `file` with line and column where it is no
/// JSON.
void parse_json(std::string_view text, const std::string& file, JsonDocumentBuilder& builder);

/// `key` as a step of a JSON pointer (RFC 6901): "/key" with ~ and / escaped.
std::string pointer_step(std::string_view key);

}  // namespace titan::text
