#include "titan/tools/standard_output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "titan/base/errors.h"

namespace titan::tools {

void print(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) {
    throw RunError(concat("cannot write to standard output: ", std::strerror(errno)));
  }
}

}  // namespace titan::tools
