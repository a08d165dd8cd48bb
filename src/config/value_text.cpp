#include "config/value_text.h"

#include "config/records.h"
#include "titan/base/errors.h"
#include "titan/base/float_text.h"

namespace titan::config {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

char hex_digit(unsigned value) { return "0123456789abcdef"[value & 15]; }

std::string bool_text(bool value) { return value ? "true" : "false"; }

/// "[a, b]" with each element written by `write`.
template <class T, class Write>
std::string bracketed(const std::vector<T>& elements, const Write& write) {
  std::string text = "[";
  for (const T& element : elements) {
    text += (text.size() > 1 ? ", " : "") + write(element);
  }
  return text + "]";
}

std::string list_text(const StringList& list) { return bracketed(list, quoted); }

std::string field_text(const std::string& text) { return quoted(text); }
std::string field_text(double number) { return base::shortest(number); }

/// TOML leaves out what is not set.
template <class Record>
std::string record_text(const Record& record) {
  std::string text;
  for (const RecordField<Record>& field : fields_of(record)) {
    const std::string value = std::visit(
        Overloaded{[&](std::optional<double> Record::*member) {
                     return record.*member ? field_text(*(record.*member)) : std::string();
                   },
                   [&](auto member) { return field_text(record.*member); }},
        field.member);
    if (value.empty() || value == "\"\"") continue;
    text += concat(text.empty() ? "{ " : ", ", field.name, " = ", value);
  }
  return text + " }";
}

std::string field_json(const std::string& text) { return quoted(text); }
std::string field_json(const std::optional<double>& number) {
  return number ? base::json_number(*number) : "null";
}

template <class Record>
std::string record_json(const Record& record) {
  std::string text;
  for (const RecordField<Record>& field : fields_of(record)) {
    const std::string value =
        std::visit([&](auto member) { return field_json(record.*member); }, field.member);
    text += concat(text.empty() ? "{" : ", ", quoted(field.name), ": ", value);
  }
  return text + "}";
}

/// One element per line, as Python's json.dumps(indent=2).
template <class T, class Write>
std::string json_list(const std::vector<T>& elements, int indent, const Write& write) {
  if (elements.empty()) {
    return "[]";
  }
  const std::string line = "\n" + std::string(indent, ' ');
  std::string text = "[";
  for (const T& element : elements) {
    text += (text.size() > 1 ? "," : "") + line + "  " + write(element);
  }
  return text + line + "]";
}

}  // namespace

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'u', '0', '0', hex_digit(byte >> 4), hex_digit(byte)};
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string value_text(const Value& value) {
  return std::visit(Overloaded{[](std::monostate) { return std::string("\"None\""); },
                               [](bool flag) { return bool_text(flag); },
                               [](std::int64_t number) { return std::to_string(number); },
                               [](double number) { return base::shortest(number); },
                               [](const std::string& text) { return quoted(text); },
                               [](const StringList& list) { return list_text(list); },
                               [](const StringLists& lists) { return bracketed(lists, list_text); },
                               [](const std::vector<ParamGroup>& groups) {
                                 return bracketed(groups, record_text<ParamGroup>);
                               },
                               [](const std::vector<MixturePart>& parts) {
                                 return bracketed(parts, record_text<MixturePart>);
                               }},
                    value);
}

std::string value_json(const Value& value, int indent) {
  return std::visit(
      Overloaded{[](std::monostate) { return std::string("null"); },
                 [](bool flag) { return bool_text(flag); },
                 [](std::int64_t number) { return std::to_string(number); },
                 [](double number) { return base::json_number(number); },
                 [](const std::string& text) { return quoted(text); },
                 [&](const StringList& list) { return json_list(list, indent, quoted); },
                 [&](const StringLists& lists) {
                   return json_list(lists, indent, [&](const StringList& list) {
                     return json_list(list, indent + 2, quoted);
                   });
                 },
                 [&](const std::vector<ParamGroup>& groups) {
                   return json_list(groups, indent, record_json<ParamGroup>);
                 },
                 [&](const std::vector<MixturePart>& parts) {
                   return json_list(parts, indent, record_json<MixturePart>);
                 }},
      value);
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte_at = [&](std::size_t at) {
      return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
    };
    const unsigned lead = byte_at(i);
    const std::size_t length = lead < 0x80                    ? 1
                               : lead >= 0xc2 && lead <= 0xdf ? 2
                               : lead >> 4 == 0xe             ? 3
                               : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                              : 0;
    if (length == 0) {
      return false;
    }
    for (std::size_t k = 1; k < length; ++k) {
      if (byte_at(i + k) >> 6 != 2) {
        return false;
      }
    }
    // Overlong forms, surrogates, and beyond U+10FFFF show in the second byte.
    const unsigned second = byte_at(i + 1);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
      return false;
    }
    i += length;
  }
  return true;
}

}  // namespace titan::config
