// Copies of a device's tensors for a checkpoint.
#include "components/checkpoint/staging.h"

#include <ATen/ops/full.h>
#include <c10/core/DeviceGuard.h>
#include <gtest/gtest.h>

#include <thread>

#include "support/rehearsal/device.h"
#include "support/rehearsal/memory.h"

namespace titan::test::rehearsal {
namespace {

using components::FlatState;
using components::Staging;

class StagingOnDevice : public ::testing::Test {
 protected:
  StagingOnDevice() { use_rehearsal_device(); }
  ~StagingOnDevice() override { PinnedMemory::instance().fails = false; }

  FlatState state(const at::Tensor& tensor) const { return {{{{"weight"}, tensor}}, {}}; }
  static double value(const FlatState& staged) {
    return staged.tensors[0].tensor.sum().item<double>();
  }

  at::TensorOptions here_ = at::TensorOptions().device(device(0));
};

TEST_F(StagingOnDevice, CopiesArePageLockedAndMadeWhileTrainingGoesOn) {
  const at::Tensor weight = at::full({4}, 2.0, here_);
  Staging staging;
  const auto before = Machine::instance().synchronizations(0);
  const FlatState staged = staging.prepare(state(weight));
  staging.start();
  staging.let_stream_wait();
  weight.add_(1);
  EXPECT_EQ(Machine::instance().synchronizations(0), before);
  EXPECT_TRUE(staged.tensors[0].tensor.is_pinned());
  std::thread([&] { staging.finish(); }).join();
  EXPECT_EQ(value(staged), 8);
  EXPECT_EQ(weight.sum().item<double>(), 12);
}

TEST_F(StagingOnDevice, AThreadThatWaitsForCopiesUsesNoOtherDevice) {
  const c10::DeviceGuard second(device(1));
  forget_devices_in_use();
  const at::Tensor weight = at::full({4}, 2.0, here_.device(device(1)));
  Staging staging;
  staging.prepare(state(weight));
  staging.start();
  std::thread([&] { staging.finish(); }).join();
  EXPECT_EQ(devices_in_use(), std::set<int>{1});
}

TEST_F(StagingOnDevice, AnUpdateThatDoesNotWaitChangesTheCopy) {
  const at::Tensor weight = at::full({4}, 2.0, here_);
  Staging staging;
  const FlatState staged = staging.prepare(state(weight));
  staging.start();
  weight.add_(1);
  EXPECT_EQ(weight.sum().item<double>(), 12);
  staging.finish();
  EXPECT_EQ(value(staged), 12);
}

TEST_F(StagingOnDevice, WhereNoMemoryCanBeLockedAnyIsGoodEnough) {
  const at::Tensor weight = at::full({4}, 2.0, here_);
  PinnedMemory::instance().fails = true;
  Staging staging;
  const FlatState staged = staging.prepare(state(weight));
  staging.start();
  staging.let_stream_wait();
  weight.add_(1);
  staging.finish();
  EXPECT_FALSE(staged.tensors[0].tensor.is_pinned());
  EXPECT_EQ(value(staged), 8);
}

}  // namespace
}  // namespace titan::test::rehearsal
