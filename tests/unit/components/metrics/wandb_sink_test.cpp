// The sink against sidecars that misbehave. tests/python/wandb_test.py has the real one.
#include "components/metrics/wandb_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <limits>
#include <string>
#include <thread>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::components {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// Says that it runs, keeps every line in `taken` beside its log, and ends with its input.
constexpr const char* kObedient = R"(
import os, sys
folder = os.path.dirname(os.readlink('/proc/self/fd/2'))
print('running here', flush=True)
with open(folder + '/taken', 'w') as taken:
    for line in sys.stdin:
        taken.write(line)
print('finished', flush=True)
)";

StepReport report(std::int64_t step) {
  StepReport report;
  report.step.step = step;
  report.step.loss = 2.5;
  report.step.grad_norm = std::numeric_limits<double>::quiet_NaN();
  report.step.max_loss = -std::numeric_limits<double>::infinity();
  return report;
}

class WandbSinkTest : public testing::Test {
 protected:
  WandbSink::Options options(const char* script) {
    WandbSink::Options options;
    options.folder = folder_.path();
    options.config_json = "{\n  \"training\": {\n    \"steps\": 5\n  }\n}";
    options.python = TITAN_TEST_PYTHON;
    options.script = script;
    options.finish_seconds = 30;
    return options;
  }
  std::string file(const std::string& name) {
    return base::read_whole_file(base::posix_file_system(), folder_ / name, 1 << 20);
  }
  template <class Action>
  static std::string printed_by(const Action& action) {
    testing::internal::CaptureStdout();
    action();
    return testing::internal::GetCapturedStdout();
  }

  test::TemporaryFolder folder_;
};

TEST_F(WandbSinkTest, TheSidecarGetsTheConfigEveryReportAndAnEnd) {
  const std::string printed = printed_by([&] {
    WandbSink sink(options(kObedient));
    sink.log(report(1));
    sink.log_validation({.validation = {.step = 1, .loss = 4.5}, .tps = 10, .memory = {}});
    sink.close();
  });
  EXPECT_THAT(printed, AllOf(HasSubstr("INFO - WandB logging enabled: here\n"),
                             Not(HasSubstr("ERROR")), Not(HasSubstr("WARNING"))));
  EXPECT_THAT(file("taken"),
              AllOf(StartsWith("{\"dir\": \"" + folder_.path() +
                               "\", \"config\": {   \"training\": {     \"steps\": 5   } }}\n"
                               R"({"step": 1, "values": {"loss_metrics/global_avg_loss": 2.5, )"
                               R"("loss_metrics/global_max_loss": -Infinity, "grad_norm": NaN, )"),
                    HasSubstr("}}\n"
                              R"({"step": 1, "values": {"validation_metrics/loss": 4.5, )"),
                    testing::EndsWith("}}\n{\"finish\": 0}\n")));
}

TEST_F(WandbSinkTest, WithoutAPythonThereIsNoSink) {
  WandbSink::Options missing = options(kObedient);
  missing.python = "no-such-python";
  EXPECT_EQ(test::message_of<RunError>([&] { WandbSink sink(missing); }),
            "cannot start 'no-such-python': No such file or directory. Weights & Biases needs a "
            "Python with the package wandb: the one that TITAN_PYTHON names, else python3 on PATH");
}

TEST_F(WandbSinkTest, ARefusalIsOneErrorAndLaterReportsAreSilent) {
  const std::string printed = printed_by([&] {
    WandbSink sink(
        options("import sys; sys.stdin.readline(); print('failed no key'); sys.exit(1)"));
    for (int step = 1; step <= 200; ++step) {
      sink.log(report(step));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    sink.close();
  });
  EXPECT_THAT(printed, testing::EndsWith(
                           "ERROR - Failed to create WandB logger: no key. Training continues; "
                           "metrics.jsonl has every number.\n"));
  EXPECT_EQ(std::count(printed.begin(), printed.end(), '\n'), 1);
}

TEST_F(WandbSinkTest, ACrashIsOneErrorWithItsCause) {
  for (const auto& [script, how] :
       {std::pair("import os; print('running x', flush=True); os._exit(3)", "(exit status 3)"),
        std::pair("import os; os.kill(os.getpid(), 9)", "(signal 9)"),
        std::pair("this is no python", "(exit status 1)")}) {
    const std::string printed = printed_by([&] {
      WandbSink sink(options(script));
      sink.log(report(1));
      sink.close();
    });
    EXPECT_THAT(printed,
                AllOf(HasSubstr("ERROR - The Weights & Biases process ended unexpectedly "),
                      HasSubstr(how), HasSubstr("wandb_sidecar.log'. Training continues")));
  }
  EXPECT_THAT(file("wandb_sidecar.log"), HasSubstr("SyntaxError"));
}

TEST_F(WandbSinkTest, ABlockedSidecarNeverBlocksTheRun) {
  // It takes nothing before the test is over: whoever waited for it would wait for ever.
  WandbSink::Options blocked = options(R"(
import os, time
folder = os.path.dirname(os.readlink('/proc/self/fd/2'))
while os.path.exists(folder) and not os.path.exists(folder + '/over'): time.sleep(0.05)
)");
  blocked.queue_bytes = 100'000;
  blocked.finish_seconds = 0.2;
  WandbSink sink(blocked);
  int refused = 0;
  for (int step = 1; step <= 2000; ++step) {
    try {
      sink.log(report(step));
    } catch (const RunError& error) {
      if (refused++ == 0) {
        EXPECT_THAT(error.what(), StartsWith("the Weights & Biases process does not keep up; see"));
      }
    }
  }
  EXPECT_GT(refused, 1000);
  std::string message;
  printed_by([&] { message = test::message_of<RunError>([&] { sink.close(); }); });
  EXPECT_THAT(message, HasSubstr("reports, which its process was too slow to take"));
  std::ofstream(folder_ / "over");
}

TEST_F(WandbSinkTest, ASidecarThatIsStillBusyAtTheEndGoesOnAlone) {
  const char* slow = R"(
import os, sys, time
folder = os.path.dirname(os.readlink('/proc/self/fd/2'))
text = sys.stdin.read()
time.sleep(0.5)
open(folder + '/later', 'w').write(text)
)";
  WandbSink::Options impatient = options(slow);
  impatient.finish_seconds = 0.2;
  const std::string printed = printed_by([&] {
    WandbSink sink(impatient);
    sink.log(report(1));
    sink.close();
  });
  EXPECT_THAT(printed,
              HasSubstr("WARNING - Weights & Biases is still busy and finishes on its own"));
  for (int i = 0; i < 6'000 && !base::posix_file_system().exists(folder_ / "later"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_THAT(file("later"), testing::EndsWith("{\"finish\": 0}\n"));
}

TEST_F(WandbSinkTest, WithoutClosingTheSidecarSeesItsInputEndButNoFinish) {
  printed_by([&] {
    WandbSink sink(options(kObedient));
    sink.log(report(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  });
  std::string taken;
  for (int i = 0; i < 6'000 && taken.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    taken = file("taken");
  }
  EXPECT_THAT(taken, AllOf(HasSubstr("\"step\": 1,"), Not(HasSubstr("finish"))));
}

TEST_F(WandbSinkTest, TheSidecarHasASessionOfItsOwnAndNoneOfOurFiles) {
  const char* script = R"(
import os, signal, sys
files = sorted(int(name) for name in os.listdir('/proc/self/fd'))
default = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
print('running', os.getsid(0) == os.getpid(), files[:4], len(files), default, flush=True)
sys.stdin.read()
print('finished', flush=True)
)";
  const std::string printed = printed_by([&] { WandbSink(options(script)).close(); });
  // Standard input, output and error; 3 is the folder that was listed, the script itself is closed.
  EXPECT_THAT(printed, HasSubstr("WandB logging enabled: True [0, 1, 2, 3] 4 True\n"));
}

TEST(WandbPython, IsTheUsersChoiceElsePython3) {
  ::unsetenv("TITAN_PYTHON");
  EXPECT_EQ(wandb_python(), "python3");
  ::setenv("TITAN_PYTHON", "/my/python", 1);
  EXPECT_EQ(wandb_python(), "/my/python");
  ::unsetenv("TITAN_PYTHON");
}

}  // namespace
}  // namespace titan::components
