#include "titan/tools/logging.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace titan::tools {
namespace {

using testing::MatchesRegex;

template <class Action>
std::string printed_by(const Action& action) {
  testing::internal::CaptureStdout();
  action();
  return testing::internal::GetCapturedStdout();
}

constexpr const char* kStamp =
    "\\[titan\\] [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3} - root - ";

TEST(Logging, LinesLookLikeTheReferences) {
  EXPECT_THAT(printed_by([] { log_info("step ", 3, " of ", 0.5); }),
              MatchesRegex(std::string(kStamp) + "INFO - step 3 of 0.5\n"));
  EXPECT_THAT(printed_by([] { log_warning("careful"); }),
              MatchesRegex(std::string(kStamp) + "WARNING - careful\n"));
  EXPECT_THAT(printed_by([] { log_error("broken"); }),
              MatchesRegex(std::string(kStamp) + "ERROR - broken\n"));
}

TEST(Logging, MessagesAreNoFormats) {
  EXPECT_THAT(printed_by([] { log_info("{} {0} %v %d {"); }),
              MatchesRegex(std::string(kStamp) + "INFO - \\{\\} \\{0\\} %v %d \\{\n"));
}

TEST(Logging, WarnsOfEachThingOnce) {
  const std::string text = printed_by([] {
    warn_once("the first");
    warn_once("the second");
    warn_once("the first");
  });
  EXPECT_THAT(text, MatchesRegex("[^\n]*WARNING - the first\n[^\n]*WARNING - the second\n"));
}

TEST(Logging, ThreadsDoNotMixTheirLines) {
  const std::string text = printed_by([] {
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([t] {
        for (int i = 0; i < 100; ++i) log_info(std::string(200, static_cast<char>('a' + t)));
      });
    }
  });
  std::istringstream lines(text);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const std::string message = line.substr(line.rfind(' ') + 1);
    EXPECT_EQ(message, std::string(200, message.at(0)));
  }
  EXPECT_EQ(count, 400);
}

/// What a process ends with that logs to `stdout_fd` (-1: closed) and goes on.
void log_with_stdout(int stdout_fd) {
  if (stdout_fd == -1) {
    close(STDOUT_FILENO);
  } else {
    dup2(stdout_fd, STDOUT_FILENO);
  }
  for (int i = 0; i < 3; ++i) log_info("nobody reads this");
  _exit(7);
}

void log_to_stderr_in_zone(const char* zone) {
  setenv("TZ", zone, 1);
  tzset();
  dup2(STDERR_FILENO, STDOUT_FILENO);
  log_info("x");
  _exit(0);
}

TEST(LoggingDeathTest, TheClockIsLocalTime) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const std::time_t in_five_hours = std::time(nullptr) + std::time_t{5} * 3600;
  char hour[4];
  std::strftime(hour, sizeof hour, "%H", std::gmtime(&in_five_hours));
  EXPECT_EXIT(log_to_stderr_in_zone("XXX-5"), testing::ExitedWithCode(0),
              std::string(" ") + hour + ":[0-9]{2}:[0-9]{2},");
}

TEST(LoggingDeathTest, ALostStandardOutputEndsNoRun) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(log_with_stdout(-1), testing::ExitedWithCode(7), "");
  EXPECT_EXIT(log_with_stdout(open("/dev/full", O_WRONLY)), testing::ExitedWithCode(7), "");
  EXPECT_EXIT(
      {
        int broken[2];
        if (pipe(broken) != 0) _exit(1);
        close(broken[0]);
        log_with_stdout(broken[1]);
      },
      testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace titan::tools
