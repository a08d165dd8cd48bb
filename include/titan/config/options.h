#pragma once

#include <span>
#include <string_view>

#include "titan/config/option.h"

namespace titan::config {

/// All options in the order of `JobConfig`. Built once, at the first call; thread-safe.
std::span<const Option> options();

/// Their full names, in the same order.
std::span<const std::string_view> option_names();

/// Returns nullptr when there is no such option.
const Option* find_option(std::string_view full_name);

/// True for "training", "training.dataloader", "quantize", ...
bool is_section(std::string_view path);

}  // namespace titan::config
