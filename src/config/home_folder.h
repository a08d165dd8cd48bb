#pragma once

#include <string>
#include <string_view>

#include "titan/config/problem.h"

namespace titan::config {

// A shell replaces "~" only at the beginning of a word, and a TOML file has no shell: taken as it is,
// "~/runs" would be a folder named "~".

/// The path with the user's home folder in place of a "~" that it begins with: HOME, else what the
/// system's list of users says.
std::string with_home(const std::string& path);

/// What is wrong with a path that begins with "~": it names another user's home, or nobody knows this
/// user's. Empty when nothing is.
std::string complaint_about_home(std::string_view path);

/// `with_home` of an argument; what is wrong with it is added to the problems of `argument`.
std::string path_argument(const std::string& argument, const std::string& path, Problems& problems);

}  // namespace titan::config
