#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "titan/config/value.h"

namespace titan::config {

struct JobConfig;

/// The numbers an option takes. Infinite bounds are no bounds; NaN is never inside.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool min_open = false;
  bool max_open = false;
  bool infinity_allowed = false;
  std::optional<double> or_value;  ///< one more value outside the bounds: -1 for "automatic"
  bool or_negative = false;        ///< any negative number means "automatic"

  bool contains(double number) const;
  /// "at least 1", "-1 or at least 1", "in [0, 1)"; empty without bounds.
  std::string text() const;
};

/// Where an option may be given.
enum class GivenBy { kBoth, kTomlOnly, kCommandLineOnly };

/// One declared option. Everything that reads, checks, prints or explains options walks these.
struct Option {
  std::string section;  ///< "training.dataloader"
  std::string name;     ///< "num_workers"
  std::string help;
  ValueType type = ValueType::kString;
  bool nullable = false;
  GivenBy given_by = GivenBy::kBoth;
  bool is_path = false;          ///< "~" at its beginning is the user's home folder
  bool comma_separated = false;  ///< a list that TOML may also give as one string "a,b"
  Range range;
  std::vector<std::string_view> choices;  ///< allowed words, for a list those of each element
  bool any_case = false;                  ///< "ASYNC" is taken for the choice "async"
  bool open = false;  ///< other words are checked later, by those who registered them
  std::string rule;   ///< says in words what `holds` demands of a string
  bool (*holds)(const std::string&) = nullptr;
  std::function<Value(const JobConfig&)> get;
  std::function<void(JobConfig&, const Value&)> set;

  /// "training.dataloader.num_workers"
  std::string full_name() const { return section + "." + name; }
  /// What is wrong with a value of the right type: range, words, rule. Empty when nothing is.
  std::string complaint_about(const Value& value) const;
  /// The value as choices are spelled, where it is one of them in another case and that does not matter.
  Value in_its_case(Value value) const;

  Option& at_least(double bound);
  Option& greater_than(double bound);
  /// Both ends included.
  Option& between(double low, double high);
  /// `high` excluded.
  Option& between_below(double low, double high);
  Option& or_exactly(double number);
  Option& or_infinity();
  Option& or_negative();
  Option& in_any_case();
  Option& each_of(std::vector<std::string_view> words);
  /// Or a word that is near none of these, and registered by whoever brings what it names.
  Option& or_registered();
  Option& must(bool (*predicate)(const std::string&), std::string in_words);
  Option& path();
  Option& or_comma_separated();
  Option& only_in_toml();
  Option& only_on_command_line();
};

}  // namespace titan::config
