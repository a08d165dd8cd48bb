// What goes wrong on purpose shows: each of these is a mistake that a GPU forgives most of the time.
#include <gtest/gtest.h>

#include "rehearsal/llama_step.h"
#include "support/rehearsal/device.h"

namespace titan::test::rehearsal {
namespace {

const Case kFsdp{"Fsdp2", {1, 2}, 2, ActivationCheckpointMode::kFull};
const Case kDdp{"Ddp2", {2, 1}, 2, ActivationCheckpointMode::kNone};
const Case kHsdp{"Hsdp4", {2, 2}, 4, ActivationCheckpointMode::kNone};

class Mutations : public ::testing::TestWithParam<Case> {
 protected:
  ~Mutations() override { faults().forgotten_wait = 0; }
};

/// One by one, every wait for a collective. Those do no harm here that another of the same stream follows before the
/// result is used: of a gradient's reduce-scatter, or of one all-gather of several.
TEST_P(Mutations, AForgottenWaitChangesTheGradients) {
  const auto expected = outcomes_on_cpu(GetParam());
  ASSERT_LT(difference(outcomes_on_devices(GetParam()), expected), 1e-5);
  const std::int64_t waits = faults().waits[0];
  ASSERT_GT(waits, 1);
  std::int64_t missed = 0;
  for (std::int64_t wait = 1; wait <= waits; ++wait) {
    faults().forgotten_wait = wait;
    missed += difference(outcomes_on_devices(GetParam()), expected) > 1e-5 ? 1 : 0;
  }
  EXPECT_GE(missed, waits * 2 / 3) << "of " << waits;
}

INSTANTIATE_TEST_SUITE_P(All, Mutations, ::testing::Values(kFsdp, kDdp),
                         [](const auto& test) { return test.param.name; });

/// The stream of all-reduces waits for reduce-scatters; the memory of these is used again behind an event.
TEST(MutationsOfReplicas, WhatIsForgottenBehindAReduceScatterChangesTheGradients) {
  const auto expected = outcomes_on_cpu(kHsdp);
  EXPECT_LT(difference(outcomes_on_devices(kHsdp), expected), 1e-5);
  faults().side_streams_forget = true;
  EXPECT_GT(difference(outcomes_on_devices(kHsdp), expected), 1e-5);
  faults().side_streams_forget = false;
  faults().events_order_nothing = true;
  EXPECT_GT(difference(outcomes_on_devices(kHsdp), expected), 1e-5);
  faults().events_order_nothing = false;
}

/// Who reads a number where the device has it, instead of asking an operator.
TEST(HostAccess, ToDeviceMemoryEndsTheProcess) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  use_rehearsal_device();
  const auto run = [] {
    on_devices({1, 1}, 1, [](const comm::RankContext& context) {
      const Outcome outcome = gradients(kDdp, context);
      const at::Tensor norm = outcome.at("norm").to(context.device);
      EXPECT_GE(*norm.const_data_ptr<float>(), 0);
    });
  };
  EXPECT_DEATH(run(), "The host has touched the memory of a device");
}

}  // namespace
}  // namespace titan::test::rehearsal
