#pragma once

#include <string_view>

namespace titan::tools {

/// TorchTitan's ANSI colours; all empty by default.
struct Colors {
  std::string_view black;
  std::string_view red;
  std::string_view green;
  std::string_view yellow;
  std::string_view blue;
  std::string_view magenta;
  std::string_view cyan;
  std::string_view white;
  std::string_view reset;
  std::string_view orange;
  std::string_view turquoise;
};

/// The colours of the reference.
Colors ansi_colors();

/// `ansi_colors()` where somebody looks at them: standard output is a terminal, the environment
/// does not set NO_COLOR (no-color.org), and `disabled` (`metrics.disable_color_printing`) is
/// false. Empty colours otherwise, so that log files hold plain text.
Colors console_colors(bool disabled);

}  // namespace titan::tools
