#include "titan/tools/signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "titan/base/errors.h"

namespace titan::tools {
namespace {

TEST(StopSignals, NothingAtFirst) {
  const StopSignals signals;
  EXPECT_EQ(signals.received(), std::nullopt);
}

TEST(StopSignals, RemembersTheFirst) {
  testing::internal::CaptureStderr();
  const StopSignals signals;
  raise(SIGTERM);
  EXPECT_EQ(signals.received(), SIGTERM);
  raise(SIGTERM);
  EXPECT_EQ(signals.received(), SIGTERM) << "schedulers repeat it; that does not kill";
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(StopSignals, TellsThePersonAtTheKeyboard) {
  testing::internal::CaptureStderr();
  {
    const StopSignals signals;
    raise(SIGINT);
    EXPECT_EQ(signals.received(), SIGINT);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "\nInterrupted: finishing the current step. Press Ctrl-C again to stop at once.\n");
}

TEST(StopSignals, WarningsOfSchedulersAreRequests) {
  for (const int signal : {SIGHUP, SIGUSR2, SIGXCPU}) {
    const StopSignals signals;
    raise(signal);
    raise(signal);
    EXPECT_EQ(signals.received(), signal);
    raise(SIGTERM);
    EXPECT_EQ(signals.received(), signal) << "the limit itself, after its warning";
  }
}

TEST(StopSignals, WhatNohupHasIgnoredStaysIgnored) {
  struct sigaction original;
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGHUP, &ignore, &original);
  {
    const StopSignals signals;
    raise(SIGHUP);
    EXPECT_EQ(signals.received(), std::nullopt);
    raise(SIGUSR2);
    EXPECT_EQ(signals.received(), SIGUSR2);
  }
  struct sigaction now;
  sigaction(SIGHUP, &original, &now);
  EXPECT_EQ(now.sa_handler, SIG_IGN);
}

TEST(StopSignals, ANewObjectStartsAfresh) {
  {
    const StopSignals signals;
    raise(SIGTERM);
  }
  const StopSignals signals;
  EXPECT_EQ(signals.received(), std::nullopt);
}

TEST(StopSignals, AnyThreadMayReceive) {
  const StopSignals signals;
  std::thread([] { raise(SIGTERM); }).join();
  EXPECT_EQ(signals.received(), SIGTERM);
}

TEST(StopSignals, OneAtATime) {
  const StopSignals signals;
  EXPECT_THROW(StopSignals(), InternalError);
  raise(SIGTERM);
  EXPECT_EQ(signals.received(), SIGTERM) << "the refused one left the first in place";
}

void quiet_handler(int) {}

TEST(StopSignals, RestoresTheHandlersFromBefore) {
  struct sigaction mine = {};
  mine.sa_handler = quiet_handler;
  struct sigaction original;
  sigaction(SIGTERM, &mine, &original);
  { const StopSignals signals; }
  struct sigaction now;
  sigaction(SIGTERM, &original, &now);
  EXPECT_EQ(now.sa_handler, quiet_handler);
}

TEST(ProfileRequest, IsTakenOnceHoweverOftenItWasMade) {
  ProfileRequest request;
  EXPECT_FALSE(request.take());
  raise(SIGUSR1);
  raise(SIGUSR1);
  EXPECT_TRUE(request.take());
  EXPECT_FALSE(request.take());
  std::thread([] { raise(SIGUSR1); }).join();
  EXPECT_TRUE(request.take()) << "any thread may receive";
}

TEST(ProfileRequest, EachOfSeveralHearsIt) {
  ProfileRequest first;
  ProfileRequest second;
  raise(SIGUSR1);
  EXPECT_TRUE(second.take());
  EXPECT_TRUE(first.take());
  EXPECT_FALSE(ProfileRequest().take()) << "what came before it is not its request";
}

TEST(ProfileRequest, LeavesStoppingAlone) {
  const StopSignals stop;
  ProfileRequest request;
  raise(SIGUSR1);
  EXPECT_EQ(stop.received(), std::nullopt);
  raise(SIGTERM);
  EXPECT_EQ(stop.received(), SIGTERM);
}

TEST(ProfileRequestDeathTest, TheSignalKillsBeforeTheFirstAndNeverAfterwards) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(raise(SIGUSR1), testing::KilledBySignal(SIGUSR1), "");
  EXPECT_EXIT(
      {
        ProfileRequest();
        raise(SIGUSR1);
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(StopSignalsDeathTest, ASecondInterruptKills) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const StopSignals signals;
        raise(SIGINT);
        raise(SIGINT);
        _exit(0);
      },
      testing::KilledBySignal(SIGINT), "finishing the current step");
  EXPECT_EXIT(
      {
        const StopSignals signals;
        raise(SIGTERM);
        raise(SIGINT);
        _exit(0);
      },
      testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace titan::tools
