#include "pipeline/turns.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::pipeline {
namespace {

using testing::ElementsAre;

/// Two computations of a few parts each, and what was done in which order.
class TurnsTest : public ::testing::Test {
 protected:
  std::function<void()> parts(const std::string& name, int count) {
    return [this, name, count] {
      for (int i = 0; i < count; ++i) {
        if (i > 0) turns_.pass();
        done_.push_back(name + std::to_string(i));
      }
    };
  }

  Turns turns_{at::kCPU};
  std::vector<std::string> done_;  // without a lock: only one of the two runs
};

TEST_F(TurnsTest, ChangeAtEveryPass) {
  turns_.run(parts("a", 3), parts("b", 3));
  EXPECT_THAT(done_, ElementsAre("a0", "b0", "a1", "b1", "a2", "b2"));
}

TEST_F(TurnsTest, WhoIsLeftGoesOnAlone) {
  turns_.run(parts("a", 1), parts("b", 3));
  turns_.run(parts("c", 3), parts("d", 1));
  EXPECT_THAT(done_, ElementsAre("a0", "b0", "b1", "b2", "c0", "d0", "c1", "c2"));
}

TEST_F(TurnsTest, APassWithoutAnotherIsNothing) {
  turns_.pass();
  turns_.run(parts("a", 1), [] {});
  turns_.pass();
  EXPECT_THAT(done_, ElementsAre("a0"));
}

TEST_F(TurnsTest, TheSecondThreadStaysAndIsSetUpAsTheFirst) {
  std::vector<std::thread::id> threads;
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  for (const bool has_gradients : {true, false}) {
    const c10::AutoGradMode mode(has_gradients);
    turns_.run([] {},
               [&] {
                 threads.push_back(std::this_thread::get_id());
                 EXPECT_EQ(c10::GradMode::is_enabled(), has_gradients);
                 EXPECT_EQ(at::get_num_threads(), 3);
               });
  }
  at::set_num_threads(before);
  EXPECT_EQ(threads[0], threads[1]);
  EXPECT_NE(threads[0], std::this_thread::get_id());
}

TEST_F(TurnsTest, AFailureEndsBothAndIsThrown) {
  const auto fails = [&](const std::string& name) {
    return [this, name] {
      done_.push_back(name);
      turns_.pass();
      throw RunError("the reason");
    };
  };
  EXPECT_THAT(test::message_of<RunError>([&] { turns_.run(fails("a"), parts("b", 9)); }),
              testing::HasSubstr("the reason"));
  EXPECT_THAT(test::message_of<RunError>([&] { turns_.run(parts("c", 9), fails("d")); }),
              testing::HasSubstr("the reason"));
  EXPECT_THAT(done_, ElementsAre("a", "b0", "c0", "d", "c1"));
  // Nothing is left of it.
  done_.clear();
  turns_.run(parts("a", 2), parts("b", 2));
  EXPECT_THAT(done_, ElementsAre("a0", "b0", "a1", "b1"));
}

TEST_F(TurnsTest, WhatHasNotBegunWhenTheFirstFailsDoesNotBegin) {
  EXPECT_THROW(turns_.run([] { throw RunError("the reason"); }, parts("b", 1)), RunError);
  EXPECT_TRUE(done_.empty());
}

}  // namespace
}  // namespace titan::pipeline
