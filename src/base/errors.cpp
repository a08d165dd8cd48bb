#include "titan/base/errors.h"

namespace titan::base {

void fail_check(const char* condition, const char* file, int line, const std::string& message) {
  throw InternalError(
      concat("internal error: ", message, " (", condition, ") at ", file, ":", line));
}

}  // namespace titan::base
