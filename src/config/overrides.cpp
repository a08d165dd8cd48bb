#include "config/overrides.h"

#include <algorithm>

#include "config/argument_value.h"
#include "config/nearest.h"
#include "titan/base/errors.h"
#include "titan/config/options.h"

namespace titan::config {
namespace {

/// An option as spelled on the command line.
struct Spelled {
  const Option* option = nullptr;
  bool negated = false;
};

bool is_switch(const Option* option) {
  return option != nullptr && option->type == ValueType::kBool;
}

/// Looks up "section.option"; for booleans also "section.no_option" and "no_section.option".
Spelled find_spelled(std::string name) {
  std::ranges::replace(name, '-', '_');
  if (const Option* option = find_option(name)) {
    return {option, false};
  }
  const std::size_t last = name.rfind('.') + 1;
  for (const std::size_t start : {last, std::size_t{0}}) {
    if (name.compare(start, 3, "no_") == 0) {
      const Option* option = find_option(std::string(name).erase(start, 3));
      if (is_switch(option)) {
        return {option, true};
      }
    }
  }
  return {};
}

bool is_option(const std::string& argument) { return argument.starts_with("--"); }

bool is_bool_word(const std::string& word) {
  return word == "true" || word == "false" || word == "True" || word == "False";
}

class OverrideReader {
 public:
  OverrideReader(std::span<const std::string> args,
                 std::span<const std::string_view> program_options, Problems& problems)
      : args_(args), program_options_(program_options), problems_(problems) {}

  std::vector<Assignment> read() {
    while (next_ < args_.size()) {
      first_ = next_++;
      if (is_option(args_[first_])) {
        read_option();
      } else {
        report(concat("unexpected argument", suggestion(args_[first_])));
      }
    }
    return std::move(assignments_);
  }

 private:
  void read_option() {
    const std::string& argument = args_[first_];
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    std::optional<std::string> text;
    if (equals != std::string::npos) {
      text = argument.substr(equals + 1);
    }
    const Spelled spelled = find_spelled(name);
    if (spelled.option == nullptr) {
      skip_values(text);
      report(concat("unknown option", suggestion(name)));
    } else if (spelled.option->given_by == GivenBy::kTomlOnly) {
      skip_values(text);
      report(concat(spelled.option->full_name(), " can only be given in a TOML file"));
    } else if (spelled.option->type == ValueType::kBool) {
      read_switch(spelled, text);
    } else {
      read_values(*spelled.option, text);
    }
  }

  void read_switch(const Spelled& spelled, std::optional<std::string> text) {
    if (spelled.negated) {
      if (text) {
        report("takes no value: it is already false");
      } else {
        assign(*spelled.option, {false, ""});
      }
      return;
    }
    if (!text && next_ < args_.size() && is_bool_word(args_[next_])) {
      text = args_[next_++];
    }
    assign(*spelled.option, read_argument(*spelled.option, text.value_or("true")));
  }

  void read_values(const Option& option, const std::optional<std::string>& text) {
    StringList texts;
    if (text) {
      texts.push_back(*text);
    }
    const bool several = option.type == ValueType::kStringLists;
    while ((texts.empty() || several) && next_ < args_.size() && !is_option(args_[next_])) {
      texts.push_back(args_[next_++]);
    }
    if (texts.empty()) {
      report("needs a value");
    } else if (several) {
      assign(option, read_list_arguments(option, texts));
    } else if (option.given_by == GivenBy::kCommandLineOnly) {
      assign(option, {StringList{texts.front()}, ""});  // a path, commas and all
    } else {
      assign(option, read_argument(option, texts.front()));
    }
  }

  void assign(const Option& option, ArgumentValue argument) {
    argument.value = option.in_its_case(std::move(argument.value));
    std::string complaint = std::move(argument.complaint);
    if (complaint.empty()) {
      complaint = option.complaint_about(argument.value);
    }
    if (!complaint.empty()) {
      const bool is_list = option.type == ValueType::kStringList;
      const bool is_one_empty = is_list && argument.value == Value(StringList{""});
      report(is_one_empty ? complaint + "; the empty list is []" : complaint);
      return;
    }
    assignments_.push_back({&option, std::move(argument.value), "command line"});
  }

  /// What stands between an option that is not understood and the next one is its value, unless
  /// it has one behind an equals sign.
  void skip_values(const std::optional<std::string>& text) {
    while (!text && next_ < args_.size() && !is_option(args_[next_])) {
      ++next_;
    }
  }

  std::string suggestion(std::string word) const {
    word.erase(0, word.find_first_not_of('-'));
    const std::string name = word.substr(0, word.find('='));
    const std::string_view program_option = nearest("--" + name, program_options_);
    return program_option.empty() ? did_you_mean_in_sections(name, option_names())
                                  : concat("; did you mean '", program_option, "'?");
  }

  /// A problem with the arguments from the option up to where reading has got.
  void report(const std::string& what) {
    constexpr std::size_t kMaxShown = 120;
    std::string where = args_[first_];
    for (std::size_t i = first_ + 1; i < next_; ++i) {
      where += " " + args_[i];
    }
    if (where.size() > kMaxShown) {
      where = where.substr(0, kMaxShown) + "...";
    }
    problems_.push_back({where, what});
  }

  std::span<const std::string> args_;
  std::span<const std::string_view> program_options_;
  Problems& problems_;
  std::vector<Assignment> assignments_;
  std::size_t first_ = 0;  ///< the argument being read
  std::size_t next_ = 0;   ///< the first not read
};

}  // namespace

std::vector<Assignment> read_overrides(std::span<const std::string> args,
                                       std::span<const std::string_view> program_options,
                                       Problems& problems) {
  return OverrideReader(args, program_options, problems).read();
}

}  // namespace titan::config
