#include "components/data/text_row.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "titan/base/errors.h"

namespace titan::components {
namespace {

using nlohmann::json;

// Keeps the member `text` of the outermost object and lets everything else pass by.
class TextRowReader final : public nlohmann::json_sax<json> {
 public:
  explicit TextRowReader(std::string& text) : text_(text) {}
  bool found() const { return found_; }

  bool null() override { return pass("null"); }
  bool boolean(bool) override { return pass("true or false"); }
  bool number_integer(number_integer_t) override { return pass("a number"); }
  bool number_unsigned(number_unsigned_t) override { return pass("a number"); }
  bool number_float(number_float_t, const string_t&) override { return pass("a number"); }
  bool binary(binary_t&) override { return false; }
  bool string(string_t& value) override {
    if (!at_text_) return pass("a string");
    text_.swap(value);
    found_ = true;
    at_text_ = false;
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ > 0) pass("an object");
    ++depth_;
    return true;
  }
  bool end_object() override {
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    pass("a list");
    ++depth_;
    return true;
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool key(string_t& key) override {
    at_text_ = depth_ == 1 && key == "text";
    return true;
  }
  // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ...; last
  // read: '...'": the line is always 1, and what was read can be as long as the line.
  bool parse_error(std::size_t byte, const std::string&,
                   const nlohmann::detail::exception& error) override {
    std::string_view message = error.what();
    message = message.substr(0, message.find("; last read"));
    message.remove_prefix(
        message.rfind("error ") == std::string_view::npos ? 0 : message.rfind("error "));
    throw RunError(concat("invalid JSON at byte ", byte, " of the line: ", message.substr(0, 200)));
  }

 private:
  bool pass(const char* kind) {
    if (depth_ == 0)
      throw RunError(concat("a row must be an object with a string 'text', not ", kind));
    if (at_text_) throw RunError(concat("'text' must be a string, not ", kind));
    return true;
  }

  std::string& text_;
  std::size_t depth_ = 0;
  bool at_text_ = false;
  bool found_ = false;
};

}  // namespace

void parse_text_row(std::string_view line, std::string& text) {
  TextRowReader reader(text);
  json::sax_parse(line.data(), line.data() + line.size(), &reader);
  if (!reader.found()) throw RunError("the row has no 'text'");
}

}  // namespace titan::components
