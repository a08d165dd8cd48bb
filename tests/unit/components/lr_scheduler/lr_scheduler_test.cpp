#include "titan/components/lr_scheduler/lr_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "titan/components/lr_scheduler/lr_schedule.h"
#include "titan/protocols/parameter_state.h"

namespace titan::components {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Writes down every learning rate it is given.
class Recorder : public protocols::Optimizers {
 public:
  void step() override {}
  void step_early(const std::vector<at::Tensor>&) override {}
  void zero_grad() override {}
  double base_lr() const override { return 0.5; }
  void set_lr(double lr) override { rates.push_back(lr); }
  std::vector<protocols::ParameterState> state() override { return {}; }
  void add_step_pre_hook(std::function<void()>) override {}
  void add_step_post_hook(std::function<void()>) override {}

  std::vector<double> rates;
};

TEST(LRSchedulers, GoesOnWithTheRateThatWasSetAndThenByTheSchedule) {
  config::LRScheduler config;
  config.warmup_steps = 2;
  Recorder optimizers;
  const auto schedulers = build_lr_schedulers(optimizers, config, 4);
  schedulers->restore(1, 0.125);
  EXPECT_EQ(schedulers->last_epoch(), 1);
  EXPECT_EQ(optimizers.rates.back(), 0.125);
  schedulers->step();
  const double by_schedule = schedulers->last_lr();
  schedulers->restore(2, std::nullopt);
  EXPECT_EQ(schedulers->last_lr(), by_schedule);
}

TEST(LRSchedulers, SetsTheRateOfTheFirstStepAtOnceAndOfEachNextOne) {
  config::LRScheduler config;
  config.warmup_steps = 2;
  Recorder optimizers;
  const auto schedulers = build_lr_schedulers(optimizers, config, 4);
  EXPECT_EQ(schedulers->last_lr(), 0.25);
  schedulers->step();
  EXPECT_EQ(schedulers->last_lr(), 0.5);
  schedulers->step();
  schedulers->step();
  schedulers->step();
  EXPECT_EQ(schedulers->last_lr(), 0.0) << "the virtual step after the last";
  EXPECT_THAT(optimizers.rates, ElementsAre(0.25, 0.5, 0.5, 0.25, 0.0));
}

TEST(LRSchedulers, LogsWhatWasCut) {
  config::LRScheduler config;
  config.warmup_steps = 9;
  Recorder optimizers;
  testing::internal::CaptureStdout();
  build_lr_schedulers(optimizers, config, 4);
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              HasSubstr("WARNING - Warmup steps (9) exceed total steps (4)."));
}

}  // namespace
}  // namespace titan::components
