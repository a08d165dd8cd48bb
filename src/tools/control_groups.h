#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace titan::tools {

/// The folders of the control groups that this process is in, with the files that say what they allow.
struct ControlGroups {
  std::vector<std::string> version_2;    // its own, then those around it
  std::optional<std::string> version_1;  // its own in the tree of the controller
};

/// Of a controller, "memory" or "cpu". `root` goes before every path, for tests.
ControlGroups control_groups(std::string_view controller, const std::string& root);

/// Of a file that the kernel makes when it is read; empty where there is none.
std::string text_of_control_file(const std::string& path);

}  // namespace titan::tools
