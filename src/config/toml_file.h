#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "titan/config/option.h"
#include "titan/config/problem.h"

namespace titan::config {

/// A checked value for an option, and where it was given.
struct Assignment {
  const Option* option = nullptr;
  Value value;
  std::string origin;
};

/// What one TOML file says.
struct TomlFile {
  std::optional<std::string> base;  ///< the file it inherits from, as written
  std::string base_origin;
  std::vector<Assignment> assignments;
};

/// Reads the text of the file `path` (a name for messages, not opened). Problems are appended in
/// the order of the file; what is right is returned all the same.
TomlFile read_toml(std::string_view text, const std::string& path, Problems& problems);

}  // namespace titan::config
