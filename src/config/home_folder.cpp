#include "config/home_folder.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

#include "titan/base/errors.h"

namespace titan::config {
namespace {

/// Empty when it is unknown.
std::string home_folder() {
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return home;
  const passwd* user = ::getpwuid(::getuid());
  return user == nullptr || user->pw_dir == nullptr ? "" : user->pw_dir;
}

bool is_in_home(std::string_view path) { return path == "~" || path.starts_with("~/"); }

}  // namespace

std::string with_home(const std::string& path) {
  return is_in_home(path) ? home_folder() + path.substr(1) : path;
}

std::string complaint_about_home(std::string_view path) {
  if (!path.starts_with("~")) return "";
  const std::string_view shown = path.substr(0, 200);
  if (!is_in_home(path)) {
    return concat("names another user's home: write the whole path (or './", shown,
                  "' for a file of this name), got '", shown, "'");
  }
  return home_folder().empty()
             ? concat("needs your home folder, and HOME is not set, got '", shown, "'")
             : "";
}

std::string path_argument(const std::string& argument, const std::string& path,
                          Problems& problems) {
  const std::string complaint = complaint_about_home(path);
  if (complaint.empty()) return with_home(path);
  problems.push_back({argument, complaint});
  return path;
}

}  // namespace titan::config
