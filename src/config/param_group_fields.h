#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "titan/config/param_group.h"

namespace titan::config {

/// A number that a parameter group may set; never negative.
struct ParamGroupNumber {
  std::string_view name;
  std::optional<double> ParamGroup::*member;
};

inline constexpr std::array kParamGroupNumbers = {
    ParamGroupNumber{"weight_decay", &ParamGroup::weight_decay},
    ParamGroupNumber{"lr_scale", &ParamGroup::lr_scale}};

/// What is wrong with a group's pattern; empty when nothing is.
std::string complaint_about_pattern(const std::string& pattern);

}  // namespace titan::config
