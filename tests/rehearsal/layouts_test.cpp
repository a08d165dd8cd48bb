// Forward and backward of a Llama on ranks with a rehearsal device each: the CPU's gradients, but for rounding.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rehearsal/llama_step.h"
#include "support/rehearsal/device.h"
#include "support/rehearsal/operators.h"

namespace titan::test::rehearsal {
namespace {

class Layouts : public ::testing::TestWithParam<Case> {};

TEST_P(Layouts, GradientsAreThoseOfTheCpu) {
  const auto on_cpu = outcomes_on_cpu(GetParam());
  take_operators_run_at_once();
  const auto on_device = outcomes_on_devices(GetParam());
  EXPECT_GT(on_cpu.at(0).size(), 10);
  EXPECT_LT(difference(on_device, on_cpu), 1e-5);
  // Random numbers only: everything else was late.
  EXPECT_THAT(take_operators_run_at_once(),
              ::testing::IsSubsetOf({"aten::normal_", "aten::uniform_"}));
}

INSTANTIATE_TEST_SUITE_P(
    All, Layouts,
    ::testing::Values(Case{"OneRank", {1, 1}, 1, ActivationCheckpointMode::kNone},
                      Case{"OneRankSelectiveOp", {1, 1}, 1, ActivationCheckpointMode::kSelective},
                      Case{"OneRankFull", {1, 1}, 1, ActivationCheckpointMode::kFull, "op", false},
                      Case{"Fsdp2", {1, 2}, 2, ActivationCheckpointMode::kNone},
                      Case{"Fsdp2Full", {1, 2}, 2, ActivationCheckpointMode::kFull, "op", false},
                      Case{"Fsdp2SelectiveOp", {1, 2}, 2, ActivationCheckpointMode::kSelective},
                      Case{
                          "Fsdp2EverySecond", {1, 2}, 2, ActivationCheckpointMode::kSelective, "2"},
                      Case{"Fsdp3", {1, 3}, 3, ActivationCheckpointMode::kSelective},
                      Case{"Hsdp2x2", {2, 2}, 4, ActivationCheckpointMode::kFull},
                      Case{"Ddp2", {2, 1}, 2, ActivationCheckpointMode::kSelective, "op", false}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace titan::test::rehearsal
