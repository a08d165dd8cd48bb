#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "titan/config/mixture_part.h"
#include "titan/config/param_group.h"

namespace titan::config {

enum class ValueType {
  kBool,
  kInteger,
  kFloat,
  kString,
  kChoice,
  kStringList,
  kStringLists,
  kParamGroups,
  kMixtureParts,
};

using StringList = std::vector<std::string>;
using StringLists = std::vector<StringList>;

/// The value of any option, without its C++ type. `std::monostate` is None; a choice is its word.
using Value = std::variant<std::monostate, bool, std::int64_t, double, std::string, StringList,
                           StringLists, std::vector<ParamGroup>, std::vector<MixturePart>>;

}  // namespace titan::config
