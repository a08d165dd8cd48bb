#include "text/sources/text_row.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "titan/base/errors.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {
namespace {

using nlohmann::json;

// A member that is wanted, and where it goes.
struct Wanted {
  const std::string* name = nullptr;
  std::string* value = nullptr;
  bool is_found = false;
};

// Keeps the wanted members of the outermost object and lets everything else pass by.
class TextRowReader final : public nlohmann::json_sax<json> {
 public:
  TextRowReader(const RowFields& fields, Document& document)
      : text_{&fields.text_or_response(), &document.text} {
    if (fields.prompt) prompt_ = {&*fields.prompt, &document.prompt};
  }
  void check_complete() const {
    for (const Wanted* wanted : {&prompt_, &text_}) {
      if (wanted->name && !wanted->is_found)
        throw RunError(concat("the row has no '", *wanted->name, "'"));
    }
  }

  bool null() override { return pass("null"); }
  bool boolean(bool) override { return pass("true or false"); }
  bool number_integer(number_integer_t) override { return pass("a number"); }
  bool number_unsigned(number_unsigned_t) override { return pass("a number"); }
  bool number_float(number_float_t, const string_t&) override { return pass("a number"); }
  bool binary(binary_t&) override { return false; }
  bool string(string_t& value) override {
    if (!at_) return pass("a string");
    at_->value->swap(value);
    at_->is_found = true;
    at_ = nullptr;
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
    at_ = nullptr;
    if (depth_ != 1) return true;
    if (key == *text_.name) at_ = &text_;
    if (prompt_.name && key == *prompt_.name) at_ = &prompt_;
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
    if (depth_ == 0) {
      throw RunError(
          concat("a row must be an object with a string '", *text_.name, "', not ", kind));
    }
    if (at_) throw RunError(concat("'", *at_->name, "' must be a string, not ", kind));
    return true;
  }

  Wanted text_;
  Wanted prompt_;  // without a name where there are no prompts
  Wanted* at_ = nullptr;
  std::size_t depth_ = 0;
};

}  // namespace

void parse_text_row(std::string_view line, const RowFields& fields, Document& document) {
  document.prompt.clear();
  document.tokens.clear();
  document.is_tokens = false;
  document.begins = document.ends = true;
  TextRowReader reader(fields, document);
  json::sax_parse(line.data(), line.data() + line.size(), &reader);
  reader.check_complete();
}

void parse_text_row(std::string_view line, const RowFields& fields, const std::string& path,
                    const LinePosition& position, Document& document) {
  try {
    parse_text_row(line, fields, document);
  } catch (const RunError& error) {
    throw BadRow(concat(place_of(path, position), ": ", error.what()));
  }
}

}  // namespace titan::text
