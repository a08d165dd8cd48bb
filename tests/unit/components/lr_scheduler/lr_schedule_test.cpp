#include "titan/components/lr_scheduler/lr_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <vector>

namespace titan::components {
namespace {

using config::DecayType;
using testing::ElementsAre;
using testing::IsEmpty;

config::LRScheduler scheduler(std::int64_t warmup_steps, std::optional<double> decay_ratio = {},
                              DecayType type = DecayType::kLinear, double min_lr_factor = 0) {
  config::LRScheduler config;
  config.warmup_steps = warmup_steps;
  config.decay_ratio = decay_ratio;
  config.decay_type = type;
  config.min_lr_factor = min_lr_factor;
  return config;
}

struct Golden {
  std::int64_t total_steps;
  std::int64_t warmup_steps;
  std::optional<double> decay_ratio;
  DecayType type;
  double min_lr_factor;
  double base_lr;
  std::vector<double> learning_rates;  // of step 0 and after each scheduler.step()
};

// Written by Python: the learning rates of TorchTitan v0.2.2's build_lr_schedulers.
const Golden kGolden[] = {
    {5, 1, 0.5, DecayType::kLinear, 0.0, 0.0008, {0.0008, 0.0008, 0.0008, 0.0008, 0.0004, 0.0}},
    {7,
     1,
     0.5,
     DecayType::kLinear,
     0.1,
     0.0008,
     {0.0008, 0.0008, 0.0008, 0.0008, 0.00062, 0.00044000000000000007, 0.00026000000000000003,
      8e-05}},
    {10,
     2,
     std::nullopt,
     DecayType::kLinear,
     0.0,
     0.0008,
     {0.0004, 0.0008, 0.0008, 0.0007, 0.0006000000000000001, 0.0005, 0.0004, 0.00030000000000000003,
      0.0002, 0.0001, 0.0}},
    {10,
     2,
     std::nullopt,
     DecayType::kSqrt,
     0.1,
     0.0003,
     {0.00015, 0.0003, 0.0003, 0.0002045405845398161, 0.000165, 0.0001346594423621355,
      0.00010908116907963214, 8.654625793863438e-05, 6.617314097820157e-05, 4.7438126392758966e-05,
      2.9999999999999997e-05}},
    {10,
     2,
     std::nullopt,
     DecayType::kCosine,
     0.0,
     0.0003,
     {0.00015, 0.0003, 0.0003, 0.000288581929876693, 0.00025606601717798207, 0.00020740251485476345,
      0.00015, 9.259748514523653e-05, 4.3933982822017876e-05, 1.1418070123306989e-05, 0.0}},
    {10,
     3,
     0.3,
     DecayType::kCosine,
     0.25,
     1e-05,
     {3.3333333333333333e-06, 6.666666666666667e-06, 1e-05, 1e-05, 1e-05, 1e-05, 1e-05, 1e-05,
      8.125000000000001e-06, 4.375000000000001e-06, 2.5e-06}},
    {12,
     0,
     0.8,
     DecayType::kSqrt,
     0.0,
     0.7,
     {0.7, 0.7, 0.7, 0.47864056378821335, 0.38695048315002945, 0.31659420974638375,
      0.25728112757642685, 0.2050252531694167, 0.1577823315309616, 0.1143379814261471,
      0.07390096630005889, 0.03592169136464036, 0.0}},
    {9,
     0,
     std::nullopt,
     DecayType::kCosine,
     0.013,
     0.1,
     {0.1, 0.09702383083578459, 0.08845429326792156, 0.075325, 0.05921953756786302,
      0.04208046243213699, 0.025975000000000012, 0.012845706732078441, 0.004276169164215425,
      0.0013}},
    {6,
     6,
     std::nullopt,
     DecayType::kLinear,
     0.0,
     0.0008,
     {0.00013333333333333334, 0.0002666666666666667, 0.0004, 0.0005333333333333334,
      0.0006666666666666668, 0.0008, 0.0008}},
    {4, 9, 0.5, DecayType::kCosine, 0.5, 1.0, {0.25, 0.5, 0.75, 1.0, 1.0}},
    {8,
     4,
     0.7,
     DecayType::kLinear,
     0.0,
     0.0008,
     {0.0002, 0.0004, 0.0006000000000000001, 0.0008, 0.0008, 0.0006000000000000001, 0.0004, 0.0002,
      0.0}},
    {5, 2, 0.0, DecayType::kSqrt, 0.3, 0.0008, {0.0004, 0.0008, 0.0008, 0.0008, 0.0008, 0.0008}},
};

TEST(WarmupStableDecay, GivesTheOriginalsDoubles) {
  for (const Golden& golden : kGolden) {
    const WarmupStableDecay schedule(
        scheduler(golden.warmup_steps, golden.decay_ratio, golden.type, golden.min_lr_factor),
        golden.total_steps);
    for (std::size_t step = 0; step < golden.learning_rates.size(); ++step) {
      EXPECT_EQ(golden.base_lr * schedule.factor(static_cast<std::int64_t>(step)),
                golden.learning_rates[step])
          << golden.total_steps << " steps, warmup " << golden.warmup_steps << ", at " << step;
    }
  }
}

TEST(WarmupStableDecay, FitsWithoutAWord) {
  const WarmupStableDecay schedule(scheduler(4, 0.6), 10);
  EXPECT_THAT(schedule.warnings(), IsEmpty());
  EXPECT_EQ(schedule.warmup_steps(), 4);
}

TEST(WarmupStableDecay, CutsAWarmupThatIsTooLong) {
  const WarmupStableDecay schedule(scheduler(200), 10);
  EXPECT_THAT(
      schedule.warnings(),
      ElementsAre("Warmup steps (200) exceed total steps (10). Adjusting warmup steps to 10."));
  EXPECT_EQ(schedule.warmup_steps(), 10);
  EXPECT_EQ(schedule.factor(9), 1.0);
}

TEST(WarmupStableDecay, CutsADecayThatIsTooLong) {
  const WarmupStableDecay schedule(scheduler(5, 0.8), 10);
  EXPECT_THAT(schedule.warnings(),
              ElementsAre("Warmup (5) + decay (8) steps exceed total steps (10). "
                          "Adjusting decay steps to 5."));
}

TEST(WarmupStableDecay, TotalStepsMayDifferFromTrainings) {
  config::LRScheduler longer = scheduler(2);
  longer.total_steps = 100;
  EXPECT_THAT(WarmupStableDecay(longer, 10).warnings(), IsEmpty());
  EXPECT_EQ(WarmupStableDecay(longer, 10).factor(9),
            WarmupStableDecay(scheduler(2), 100).factor(9));
}

TEST(WarmupStableDecay, HoldsItsLastValueAfterTheEndAndSaysSo) {
  for (const DecayType type : {DecayType::kLinear, DecayType::kSqrt, DecayType::kCosine}) {
    config::LRScheduler shorter = scheduler(2, 0.5, type, 0.1);
    shorter.total_steps = 10;
    const WarmupStableDecay schedule(shorter, 1000);
    EXPECT_THAT(schedule.warnings(), ElementsAre(testing::HasSubstr("total_steps = 10")));
    for (const std::int64_t step : {10, 11, 500, 1000}) {
      EXPECT_EQ(schedule.factor(step), 0.1) << step;
    }
  }
}

TEST(WarmupStableDecay, HoldsAfterAScheduleWithoutDecay) {
  const WarmupStableDecay schedule(scheduler(0, 0.0), 3);
  EXPECT_EQ(schedule.factor(3), 1.0);
  EXPECT_EQ(schedule.factor(100), 1.0);
}

TEST(WarmupStableDecay, TakesAnyNumberOfSteps) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const WarmupStableDecay falling(scheduler(2), kMost);
  EXPECT_EQ(falling.factor(0), 0.5);
  EXPECT_EQ(falling.factor(1), 1);
  EXPECT_NEAR(falling.factor(kMost / 2), 0.5, 1e-12);
  EXPECT_NEAR(falling.factor(kMost - 1), 0, 1e-12);
  const WarmupStableDecay all_of_it(scheduler(0, 1.0), kMost);
  EXPECT_NEAR(all_of_it.factor(kMost / 2), 0.5, 1e-12);
  const WarmupStableDecay constant(scheduler(0, 0.0), kMost);
  EXPECT_EQ(constant.factor(kMost - 1), 1);
  const WarmupStableDecay rising(scheduler(kMost, 0.0), kMost);
  EXPECT_NEAR(rising.factor(kMost - 2), 1, 1e-12);
}

}  // namespace
}  // namespace titan::components
