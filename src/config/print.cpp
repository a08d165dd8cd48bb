#include "titan/config/print.h"

#include <algorithm>

#include "config/value_text.h"
#include "titan/base/errors.h"
#include "titan/config/options.h"

namespace titan::config {
namespace {

/// A control character in a file's name must not end the comment it stands in.
std::string comment(const std::string& origin) {
  const std::string escaped = quoted(origin);
  return escaped.substr(1, escaped.size() - 2);
}

/// Aligns the comments of ordinary lines; long values push theirs to the right.
std::string with_comment(std::string line, const std::string& origin) {
  constexpr std::size_t kColumn = 48;
  line.resize(std::max(line.size() + 2, kColumn), ' ');
  return line + "# " + comment(origin) + "\n";
}

/// TOML has no None. Where that is the default, a line that says so in a comment is enough.
bool only_a_comment(const Option& option, const Value& value) {
  static const JobConfig kDefaults;
  const bool default_none =
      std::holds_alternative<std::monostate>(value) && value == option.get(kDefaults);
  return default_none || option.given_by == GivenBy::kCommandLineOnly;
}

std::string option_line(const Option& option, const Value& value) {
  const bool none = std::holds_alternative<std::monostate>(value);
  return only_a_comment(option, value)
             ? concat("# ", option.name, " = ", none ? "None" : value_text(value))
             : concat(option.name, " = ", value_text(value));
}

std::vector<std::string> split_at_dots(const std::string& path) {
  std::vector<std::string> parts(1);
  for (const char c : path) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/// Writes nested JSON objects one member at a time, opening and closing what lies between.
class JsonWriter {
 public:
  void member(const Option& option, const JobConfig& config) {
    const std::vector<std::string> path = split_at_dots(option.section);
    const auto shared = std::ranges::mismatch(open_, path).in1 - open_.begin();
    close_to(static_cast<std::size_t>(shared));
    for (std::size_t i = open_.size(); i < path.size(); ++i) {
      begin_member(path[i]);
      text_ += "{";
      open_.push_back(path[i]);
      first_ = true;
    }
    begin_member(option.name);
    text_ += value_json(option.get(config), indent());
  }

  std::string finish() {
    close_to(0);
    return text_ + "\n}\n";
  }

 private:
  int indent() const { return 2 * (static_cast<int>(open_.size()) + 1); }

  void begin_member(const std::string& name) {
    text_ += concat(first_ ? "\n" : ",\n", std::string(indent(), ' '), quoted(name), ": ");
    first_ = false;
  }

  void close_to(std::size_t depth) {
    while (open_.size() > depth) {
      open_.pop_back();
      text_ += "\n" + std::string(indent(), ' ') + "}";
    }
  }

  std::string text_ = "{";
  std::vector<std::string> open_;
  bool first_ = true;
};

}  // namespace

std::string print_config(const JobConfig& config, const Origins& origins) {
  std::string text = "# Every option, its value, and where the value came from.\n";
  std::string_view section;
  for (const Option& option : options()) {
    if (option.section != section) {
      section = option.section;
      text += concat("\n[", section, "]\n");
    }
    text += with_comment(option_line(option, option.get(config)), origins.of(option.full_name()));
  }
  return text;
}

std::map<std::string, std::string> values_by_option(const JobConfig& config) {
  std::map<std::string, std::string> values;
  for (const Option& option : options()) {
    values[option.full_name()] = value_text(option.get(config));
  }
  return values;
}

std::string config_json(const JobConfig& config) {
  JsonWriter writer;
  for (const Option& option : options()) {
    writer.member(option, config);
  }
  return writer.finish();
}

}  // namespace titan::config
