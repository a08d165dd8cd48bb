#include "config/toml_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "config/argument_value.h"
#include "config/home_folder.h"
#include "config/nearest.h"
#include "config/records.h"
#include "config/toml_depth.h"
#include "config/value_text.h"
#include "titan/base/errors.h"
#include "titan/config/options.h"

namespace titan::config {
namespace {

/// A file with more problems than this is no config; each costs a search for the nearest name.
constexpr std::size_t kMaxProblems = 100;

/// "the string "abc"", cut where it is long.
std::string in_words(const toml::node& node) {
  constexpr std::size_t kMaxShown = 60;
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string: {
      const std::string& text = node.as_string()->get();
      return text.size() > kMaxShown ? "a long string" : "the string " + quoted(text);
    }
    case toml::node_type::integer:
      return "the integer " + value_text(node.as_integer()->get());
    case toml::node_type::floating_point:
      return "the float " + value_text(node.as_floating_point()->get());
    case toml::node_type::boolean:
      return value_text(node.as_boolean()->get());
    default:
      return "a date or time";
  }
}

std::string key_text(const toml::key& key) {
  constexpr std::size_t kMaxShown = 100;
  return quoted(key.str().substr(0, kMaxShown));
}

bool is_none(const toml::node& node) {
  return node.is_string() && node.as_string()->get() == "None";
}

class TomlReader {
 public:
  TomlReader(const std::string& path, TomlFile& file) : path_(path), file_(file) {}

  void read_table(const toml::table& table, const std::string& section) {
    for (const auto& [key, node] : table) {
      if (found_.size() >= kMaxProblems) {
        return;
      }
      const bool plain = key.str().find('.') == std::string_view::npos;
      const std::string name = concat(section, section.empty() ? "" : ".", key.str());
      const Option* option = section.empty() || !plain ? nullptr : find_option(name);
      if (option != nullptr) {
        read_option(*option, node);
      } else if (section.empty() && key.str() == "base") {
        read_base(node);
      } else if (plain && is_section(name)) {
        read_section(name, node);
      } else {
        report_unknown(section, name, key, node);
      }
    }
  }

  /// The problems in the order of the file (a toml::table is sorted by key).
  void append_problems_to(Problems& problems) {
    std::ranges::stable_sort(found_, {}, [](const Found& found) {
      return std::pair(found.position.line, found.position.column);
    });
    for (Found& found : found_) {
      problems.push_back({origin(found.position), std::move(found.what)});
    }
    if (found_.size() >= kMaxProblems) {
      problems.push_back({path_, "too many problems; the rest of the file is not listed"});
    }
  }

 private:
  struct Found {
    toml::source_position position;
    std::string what;
  };

  std::string origin(const toml::source_position& at) const {
    return concat(path_, ":", at.line, ":", at.column);
  }

  void report(const toml::node& node, std::string what) {
    found_.push_back({node.source().begin, std::move(what)});
  }

  void report_unknown(const std::string& section, const std::string& name, const toml::key& key,
                      const toml::node& node) {
    const char* kind = node.is_table() ? "section " : section.empty() ? "key " : "option ";
    std::string hint = node.is_table() || section.empty() ? nearest_section(name) : "";
    if (hint.empty() && !node.is_table()) {
      hint = did_you_mean_in_sections(name, option_names());
    }
    const std::string where = section.empty() ? "" : concat(" in [", section, "]");
    found_.push_back({key.source().begin, concat("unknown ", kind, key_text(key), where, hint)});
  }

  static std::string nearest_section(const std::string& name) {
    std::vector<std::string_view> sections = {"base"};
    for (const Option& option : options()) {
      const std::string_view path = option.section;
      for (std::size_t dot = 0; dot != std::string_view::npos;) {
        dot = path.find('.', dot + 1);
        sections.push_back(path.substr(0, dot));
      }
    }
    return did_you_mean(name, sections);
  }

  void read_base(const toml::node& node) {
    if (!node.is_string() || node.as_string()->get().empty() ||
        node.as_string()->get().find('\0') != std::string::npos) {
      report(node, concat("base must be the path of a TOML file, got ", in_words(node)));
      return;
    }
    const std::string complaint = complaint_about_home(node.as_string()->get());
    if (!complaint.empty()) {
      report(node, "base " + complaint);
      return;
    }
    file_.base = node.as_string()->get();
    file_.base_origin = origin(node.source().begin);
  }

  void read_section(const std::string& name, const toml::node& node) {
    if (const toml::table* table = node.as_table()) {
      read_table(*table, name);
    } else {
      report(node, concat(name, " is a section: it must be a table, got ", in_words(node)));
    }
  }

  void read_option(const Option& option, const toml::node& node) {
    if (option.given_by == GivenBy::kCommandLineOnly) {
      report(node, concat(option.full_name(),
                          " belongs on the command line; a file inherits from "
                          "another with base = \"other.toml\" at its top"));
      return;
    }
    std::optional<Value> value = convert(option, node);
    if (!value) {
      return;
    }
    *value = option.in_its_case(*std::move(value));
    const std::string complaint = option.complaint_about(*value);
    if (!complaint.empty()) {
      report(node, concat(option.full_name(), " ", complaint));
      return;
    }
    file_.assignments.push_back({&option, *std::move(value), origin(node.source().begin)});
  }

  /// Reports a node of the wrong type and returns nothing for it.
  std::optional<Value> convert(const Option& option, const toml::node& node) {
    if (option.nullable && is_none(node)) {
      return Value();
    }
    switch (option.type) {
      case ValueType::kBool:
        return node.is_boolean() ? Value(node.as_boolean()->get())
                                 : wrong_type(option, "true or false", node);
      case ValueType::kInteger:
        return node.is_integer() ? Value(node.as_integer()->get())
                                 : wrong_type(option, "an integer", node);
      case ValueType::kFloat:
        return node.is_number() ? Value(*node.value<double>())
                                : wrong_type(option, "a number", node);
      case ValueType::kString:
      case ValueType::kChoice:
        return node.is_string() ? Value(node.as_string()->get())
                                : wrong_type(option, "a string", node);
      case ValueType::kStringList:
        return string_list(option, node);
      case ValueType::kStringLists:
        return string_lists(option, node);
      case ValueType::kParamGroups:
        return records<ParamGroup>(option, node);
      case ValueType::kMixtureParts:
        return records<MixturePart>(option, node);
    }
    return std::nullopt;
  }

  std::optional<Value> wrong_type(const Option& option, std::string_view expected,
                                  const toml::node& node) {
    report(node, concat(option.full_name(), " must be ", expected,
                        option.nullable ? " or \"None\"" : "", ", got ", in_words(node)));
    return std::nullopt;
  }

  std::optional<Value> string_list(const Option& option, const toml::node& node) {
    if (option.comma_separated && node.is_string()) {
      return Value(split_at_commas(node.as_string()->get()));
    }
    if (!node.is_array()) {
      return wrong_type(option, "a list of strings", node);
    }
    StringList list;
    for (const toml::node& element : *node.as_array()) {
      if (!element.is_string()) {
        return wrong_type(option, "a list of strings", element);
      }
      list.push_back(element.as_string()->get());
    }
    return Value(std::move(list));
  }

  std::optional<Value> string_lists(const Option& option, const toml::node& node) {
    if (!node.is_array()) {
      return wrong_type(option, "a list of lists of strings", node);
    }
    StringLists lists;
    for (const toml::node& element : *node.as_array()) {
      std::optional<Value> list = string_list(option, element);
      if (!list) {
        return std::nullopt;
      }
      lists.push_back(std::get<StringList>(*std::move(list)));
    }
    return Value(std::move(lists));
  }

  /// An array of tables whose keys are the fields of `Record`.
  template <class Record>
  std::optional<Value> records(const Option& option, const toml::node& node) {
    if (!node.is_array()) {
      return wrong_type(option, "an array of tables", node);
    }
    std::vector<Record> list;
    const std::size_t problems_before = found_.size();
    for (const toml::node& element : *node.as_array()) {
      if (const toml::table* table = element.as_table()) {
        list.push_back(record<Record>(option, *table));
      } else {
        wrong_type(option, "an array of tables", element);
      }
      if (found_.size() >= kMaxProblems) {
        break;
      }
    }
    if (found_.size() > problems_before) {
      return std::nullopt;
    }
    return Value(std::move(list));
  }

  template <class Record>
  Record record(const Option& option, const toml::table& table) {
    Record result;
    for (const RecordField<Record>& field : fields_of(result)) {
      if (field.required && !table.contains(field.name)) {
        report(table, concat(option.full_name(), ": every table needs a ", field.name));
      }
    }
    for (const auto& [key, node] : table) {
      read_field(option, key, node, result);
    }
    return result;
  }

  template <class Record>
  void read_field(const Option& option, const toml::key& key, const toml::node& node,
                  Record& result) {
    std::vector<std::string_view> names;
    for (const RecordField<Record>& field : fields_of(result)) {
      names.push_back(field.name);
      if (key.str() == field.name) {
        std::visit([&](auto member) { read_member(option, field, node, result.*member); },
                   field.member);
        return;
      }
    }
    found_.push_back(
        {key.source().begin, concat("unknown key ", key_text(key), " in ", option.full_name(),
                                    did_you_mean(key.str(), names))});
  }

  template <class Record>
  void read_member(const Option& option, const RecordField<Record>& field, const toml::node& node,
                   std::string& text) {
    if (!node.is_string()) {
      report(node, concat(option.full_name(), ": ", field.name, " must be a string, got ",
                          in_words(node)));
      return;
    }
    text = node.as_string()->get();
    const std::string complaint = field.complaint_about(text);
    if (!complaint.empty()) {
      report(node, concat(option.full_name(), ": ", field.name, " ", complaint));
      return;
    }
    if (field.is_path) text = with_home(text);
  }

  template <class Record, class Number>
  void read_member(const Option& option, const RecordField<Record>& field, const toml::node& node,
                   Number& number) {
    const std::optional<double> given = node.is_number() ? node.value<double>() : std::nullopt;
    if (given && std::isfinite(*given) && *given >= 0) {
      number = *given;
    } else {
      report(node, concat(option.full_name(), ": ", field.name,
                          " must be a number of at least 0, got ", in_words(node)));
    }
  }

  const std::string& path_;
  TomlFile& file_;
  std::vector<Found> found_;
};

}  // namespace

TomlFile read_toml(std::string_view text, const std::string& path, Problems& problems) {
  TomlFile file;
  if (const std::optional<DeepKey> deep = find_deep_key(text)) {
    problems.push_back({concat(path, ":", deep->line, ":", deep->column),
                        "a key of more parts than any option has"});
    return file;
  }
  try {
    const toml::table table = toml::parse(text, path);
    TomlReader reader(path, file);
    reader.read_table(table, "");
    reader.append_problems_to(problems);
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    problems.push_back(
        {concat(path, ":", at.line, ":", at.column), concat("not TOML: ", error.description())});
  }
  return file;
}

}  // namespace titan::config
