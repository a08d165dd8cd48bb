#include "titan/tools/launch_ranks.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/descriptor.h"
#include "titan/base/errors.h"

namespace titan::tools {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

struct Result {
  int status = 0;
  std::string output;
  std::string errors;
};

/// Ranks that are a shell script.
Result launch(std::int64_t ranks, const std::string& script, const std::string& log_ranks = "0") {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Result result;
  result.status = launch_ranks({{"/bin/sh", "-c", script}, ranks, log_ranks});
  result.output = testing::internal::GetCapturedStdout();
  result.errors = testing::internal::GetCapturedStderr();
  return result;
}

double seconds_of(const std::function<void()>& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::size_t open_descriptors() {
  const auto files = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

TEST(LaunchRanks, TellsEachRankWhoItIsAndWhereToMeet) {
  const Result result = launch(
      3,
      "echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $MASTER_ADDR; test $MASTER_PORT -gt 0",
      "0,1,2");
  EXPECT_EQ(result.status, 0);
  for (const char* line : {"[rank 0] 0 0 3 3 127.0.0.1\n", "[rank 1] 1 1 3 3 127.0.0.1\n",
                           "[rank 2] 2 2 3 3 127.0.0.1\n"}) {
    EXPECT_THAT(result.output, HasSubstr(line));
  }
  EXPECT_EQ(result.errors, "");
}

TEST(LaunchRanks, TheRanksOfAJobShareASecretThatNoOtherJobHas) {
  ::unsetenv("TITAN_JOB_SECRET");
  const std::string first = launch(2, "echo $TITAN_JOB_SECRET", "0,1").output;
  const std::string secret = first.substr(9, 32);
  EXPECT_EQ(secret.find_first_not_of("0123456789abcdef"), std::string::npos) << first;
  EXPECT_THAT(
      first, AllOf(HasSubstr("[rank 0] " + secret + "\n"), HasSubstr("[rank 1] " + secret + "\n")));
  EXPECT_THAT(launch(1, "echo $TITAN_JOB_SECRET").output, Not(HasSubstr(secret)));
  ::setenv("TITAN_JOB_SECRET", "the user's own", 1);
  EXPECT_EQ(launch(1, "echo $TITAN_JOB_SECRET").output, "the user's own\n");
  ::unsetenv("TITAN_JOB_SECRET");
}

TEST(LaunchRanks, ShowsTheOutputOfTheChosenRanksAndTheErrorsOfAll) {
  const Result result = launch(3, "echo out $RANK; printf 'no line end %s' $RANK >&2", "2");
  EXPECT_EQ(result.output, "out 2\n");
  EXPECT_THAT(result.errors,
              AllOf(HasSubstr("[rank 0] no line end 0\n"), HasSubstr("[rank 1] no line end 1\n")));
}

TEST(LaunchRanks, OneThatFailsEndsAllAndHasTheLastWord) {
  Result result;
  const double seconds = seconds_of([&] {
    result =
        launch(3,
               "if test $RANK = 1; then echo note >&2; echo 'titan_train: disk full' >&2; exit 7; "
               "fi; exec sleep 600");
  });
  EXPECT_EQ(result.status, 7);
  EXPECT_THAT(result.errors,
              AllOf(HasSubstr("[rank 1] note\n[rank 1] titan_train: disk full\n"),
                    HasSubstr("titan_train: rank 1 (pid "),
                    EndsWith(") ended with exit status 7:\ntitan_train: disk full\n")));
  EXPECT_LT(seconds, 100);
}

TEST(LaunchRanks, OneThatWasKilled) {
  const Result result = launch(2, "test $RANK = 1 && kill -9 $$; exec sleep 600");
  EXPECT_EQ(result.status, 137);
  EXPECT_THAT(result.errors, AllOf(HasSubstr("titan_train: rank 1 (pid "),
                                   HasSubstr(") was killed by signal 9 (Killed)")));
}

TEST(LaunchRanks, OneThatDoesNotListenIsKilledAndSoIsWhatItStarted) {
  const test::TemporaryFolder folder;
  Result result;
  const double seconds = seconds_of([&] {
    result =
        launch(2, "if test $RANK = 1; then while ! test -e " + folder / "pid" +
                      "; do sleep 0.05; done; exit 3; fi; trap '' TERM; sleep 600 & echo $! > " +
                      folder / "part" + "; mv " + folder / "part" + " " + folder / "pid" +
                      "; while :; do sleep 1; done");
  });
  EXPECT_EQ(result.status, 3);
  EXPECT_GE(seconds, 4.9);
  std::ifstream file(folder / "pid");
  pid_t grandchild = 0;
  file >> grandchild;
  ASSERT_GT(grandchild, 0);
  for (int i = 0; i < 1'000 && ::kill(grandchild, 0) == 0; ++i) {
    const std::filesystem::path stat = "/proc/" + std::to_string(grandchild) + "/stat";
    std::ifstream state(stat);
    std::string text;
    std::getline(state, text);
    if (text.find(") Z") != std::string::npos) break;  // nobody here inherits it
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_LT(i, 999) << text;
  }
}

/// Runs the launcher as a process of its own; calls `while_running` with its number once the ranks
/// are there.
int launcher_process(const std::string& script, const std::string& ready,
                     const std::function<void(pid_t)>& while_running) {
  const pid_t launcher = ::fork();
  if (launcher == 0) ::_exit(launch_ranks({{"/bin/sh", "-c", script}, 2, "0"}));
  for (int i = 0;
       i < 6'000 && !(std::filesystem::exists(ready + "0") && std::filesystem::exists(ready + "1"));
       ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  while_running(launcher);
  int status = 0;
  ::waitpid(launcher, &status, 0);
  return status;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(LaunchRanks, PassesOnARequestToStop) {
  const test::TemporaryFolder folder;
  const std::string ready = folder / "ready";
  const std::string script = "trap 'echo once >> " + folder / "stopped" +
                             "$RANK; exit 130' INT; touch " + ready +
                             "$RANK; while :; do sleep 0.1; done";
  const int status =
      launcher_process(script, ready, [](pid_t launcher) { ::kill(launcher, SIGINT); });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_EQ(read_file(folder / "stopped0"), "once\n");
  EXPECT_EQ(read_file(folder / "stopped1"), "once\n");
}

/// Whether a program can listen at a port of loopback.
bool can_listen(std::uint16_t port, int reuses) {
  const base::Descriptor listener(::socket(AF_INET, SOCK_STREAM, 0));
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &reuses, sizeof(reuses));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  return ::bind(listener.get(), generic, sizeof(address)) == 0 && ::listen(listener.get(), 1) == 0;
}

// Ranks take seconds before one of them listens: until then another program could be handed the port.
TEST(LaunchRanks, TheirPortIsTheirs) {
  const test::TemporaryFolder folder;
  const std::string ready = folder / "ready";
  const std::string script = "echo $MASTER_PORT > " + folder / "part" + "$RANK; mv " +
                             folder / "part" + "$RANK " + ready + "$RANK; exec sleep 600";
  bool others = true;
  bool theirs = false;
  launcher_process(script, ready, [&](pid_t launcher) {
    const auto port = static_cast<std::uint16_t>(std::stoi(read_file(ready + "0")));
    others = can_listen(port, 0);
    theirs = can_listen(port, 1);
    ::kill(launcher, SIGTERM);
  });
  EXPECT_FALSE(others);
  EXPECT_TRUE(theirs);
}

TEST(LaunchRanks, WhenItIsKilledTheRanksAre) {
  const test::TemporaryFolder folder;
  const std::string ready = folder / "ready";
  const std::string script = "echo $$ > " + folder / "part" + "$RANK; mv " + folder / "part" +
                             "$RANK " + ready + "$RANK; exec sleep 600";
  launcher_process(script, ready, [](pid_t launcher) { ::kill(launcher, SIGKILL); });
  for (const char* rank : {"0", "1"}) {
    const pid_t pid = std::stoi(read_file(ready + rank));
    for (int i = 0; i < 1'000; ++i) {
      const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
      if (stat.empty() || stat.find(") Z") != std::string::npos) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      ASSERT_LT(i, 999) << stat;
    }
  }
}

TEST(LaunchRanks, LeavesNothingBehind) {
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(launch(4, "exit 0").status, 0);
    EXPECT_EQ(launch(2, "exit $RANK").status, 1);
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child was not waited for";
  sigset_t blocked;
  ::sigprocmask(SIG_SETMASK, nullptr, &blocked);
  EXPECT_FALSE(sigismember(&blocked, SIGINT));
}

TEST(LaunchRanks, LongOutputComesThroughWhole) {
  const Result result =
      launch(2, "i=0; while test $i -lt 20000; do echo line $i; i=$((i+1)); done");
  EXPECT_EQ(std::ranges::count(result.output, '\n'), 20'000);
  EXPECT_THAT(result.output, EndsWith("line 19999\n"));
}

TEST(LaunchRanks, MistakesAreNamed) {
  for (const char* list : {"", "x", "0,", "-1", "0;1"}) {
    EXPECT_THAT(test::message_of<ConfigError>([&] {
                  launch_ranks({{"/bin/true"}, 1, list});
                }),
                HasSubstr("LOG_RANK"))
        << list;
  }
  testing::internal::CaptureStderr();
  EXPECT_EQ(launch_ranks({{"/no/such/program"}, 2, "0"}), 127);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("cannot run /no/such/program"));
}

}  // namespace
}  // namespace titan::tools
