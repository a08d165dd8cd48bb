#include "titan/tools/colors.h"

#include <unistd.h>

#include <cstdlib>

namespace titan::tools {

Colors ansi_colors() {
  return {
      .black = "\033[30m",
      .red = "\033[31m",
      .green = "\033[32m",
      .yellow = "\033[33m",
      .blue = "\033[34m",
      .magenta = "\033[35m",
      .cyan = "\033[36m",
      .white = "\033[37m",
      .reset = "\033[39m",
      .orange = "\033[38;2;180;60;0m",
      .turquoise = "\033[38;2;54;234;195m",
  };
}

Colors console_colors(bool disabled) {
  const char* const no_color = std::getenv("NO_COLOR");
  const bool unwanted = disabled || (no_color != nullptr && *no_color != '\0');
  return !unwanted && ::isatty(STDOUT_FILENO) == 1 ? ansi_colors() : Colors{};
}

}  // namespace titan::tools
