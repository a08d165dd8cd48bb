#include "titan/tools/colors.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <cstdlib>

namespace titan::tools {
namespace {

/// Standard output on a terminal while it lives.
class Terminal {
 public:
  Terminal() : saved_(dup(STDOUT_FILENO)) {
    int terminal = -1;
    EXPECT_EQ(openpty(&keyboard_, &terminal, nullptr, nullptr, nullptr), 0);
    dup2(terminal, STDOUT_FILENO);
    close(terminal);
  }
  ~Terminal() {
    dup2(saved_, STDOUT_FILENO);
    close(saved_);
    close(keyboard_);
  }

 private:
  int saved_;
  int keyboard_ = -1;
};

bool colored(bool disabled) {
  const Terminal terminal;
  return console_colors(disabled).red == "\033[31m";
}

TEST(Colors, AreTheReferences) {
  const Colors colors = ansi_colors();
  EXPECT_EQ(colors.red, "\033[31m");
  EXPECT_EQ(colors.orange, "\033[38;2;180;60;0m");
  EXPECT_EQ(colors.turquoise, "\033[38;2;54;234;195m");
  EXPECT_EQ(colors.reset, "\033[39m");
}

TEST(Colors, OnATerminalUnlessUnwanted) {
  unsetenv("NO_COLOR");
  EXPECT_TRUE(colored(false));
  EXPECT_FALSE(colored(true));
  setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(colored(false));
  setenv("NO_COLOR", "", 1);
  EXPECT_TRUE(colored(false)) << "empty means unset (no-color.org)";
  unsetenv("NO_COLOR");
}

TEST(Colors, NeverInAFile) {
  testing::internal::CaptureStdout();
  const Colors colors = console_colors(false);
  testing::internal::GetCapturedStdout();
  EXPECT_EQ(colors.red, "");
  EXPECT_EQ(colors.reset, "");
}

}  // namespace
}  // namespace titan::tools
