#include "base/file_error.h"

#include <system_error>

namespace titan::base {

RunError file_error(std::string_view action, const std::string& path, int error) {
  return RunError(
      concat("cannot ", action, " '", path, "': ", std::generic_category().message(error)));
}

}  // namespace titan::base
