#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "titan/base/errors.h"
#include "titan/config/choice.h"
#include "titan/config/option.h"

namespace titan::config {

struct JobConfig;

/// How a C++ type appears as an option: its `ValueType`, and the way to `Value` and back.
template <class T>
struct OptionType {
  static constexpr bool kNullable = false;
  static Value to_value(const T& member) { return member; }
  static T from_value(const Value& value) { return std::get<T>(value); }
};

template <Choice E>
struct OptionType<E> {
  static constexpr bool kNullable = false;
  static Value to_value(E member) { return std::string(to_string(member)); }
  static E from_value(const Value& value) {
    std::size_t index = 0;
    while (kWords<E>.at(index) != std::get<std::string>(value)) {
      ++index;
    }
    return static_cast<E>(index);
  }
};

template <class T>
struct OptionType<std::optional<T>> {
  static constexpr bool kNullable = true;
  static Value to_value(const std::optional<T>& member) {
    return member ? OptionType<T>::to_value(*member) : Value();
  }
  static std::optional<T> from_value(const Value& value) {
    if (std::holds_alternative<std::monostate>(value)) {
      return std::nullopt;
    }
    return OptionType<T>::from_value(value);
  }
};

template <class T>
constexpr ValueType value_type() {
  if constexpr (Choice<T>) {
    return ValueType::kChoice;
  } else if constexpr (OptionType<T>::kNullable) {
    return value_type<typename T::value_type>();
  } else {
    // Value's alternatives after None stand in the order of ValueType, but for the choice.
    const std::size_t index = Value(T{}).index();
    return static_cast<ValueType>(index <= 4 ? index - 1 : index);
  }
}

template <class T>
void set_choices(std::vector<std::string_view>& choices) {
  if constexpr (Choice<T>) {
    choices.assign(kWords<T>.begin(), kWords<T>.end());
  } else if constexpr (OptionType<T>::kNullable) {
    set_choices<typename T::value_type>(choices);
  }
}

/// Finds a section inside a JobConfig.
template <class Section>
struct Place {
  Section& (*in)(JobConfig&);
  const Section& (*in_const)(const JobConfig&);
};

/// The visitor that `Section::describe` gets: each call declares one option of the section.
template <class Section>
class Describer {
 public:
  Describer(std::vector<Option>& options, std::string path, Place<Section> place)
      : options_(options), path_(std::move(path)), place_(place) {}

  /// The result is valid until the next call.
  template <class T>
  Option& operator()(std::string name, T Section::*member, std::string help) {
    Option& option = options_.emplace_back();
    option.section = path_;
    option.name = std::move(name);
    option.help = std::move(help);
    option.type = value_type<T>();
    option.nullable = OptionType<T>::kNullable;
    set_choices<T>(option.choices);
    option.get = [place = place_, member](const JobConfig& config) {
      return OptionType<T>::to_value(place.in_const(config).*member);
    };
    option.set = [place = place_, member](JobConfig& config, const Value& value) {
      place.in(config).*member = OptionType<T>::from_value(value);
    };
    return option;
  }

 private:
  std::vector<Option>& options_;
  std::string path_;
  Place<Section> place_;
};

}  // namespace titan::config
