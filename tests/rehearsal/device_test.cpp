// The rehearsal device itself: that it is as unforgiving as a GPU.
#include "support/rehearsal/device.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include <thread>

#include "support/local_ranks.h"
#include "support/rehearsal/memory.h"
#include "support/rehearsal/operators.h"
#include "support/rehearsal/process_group.h"

namespace titan::test::rehearsal {
namespace {

class Device : public ::testing::Test {
 protected:
  Device() { use_rehearsal_device(); }

  c10::impl::VirtualGuardImpl guard_{device(0).type()};
  at::TensorOptions here_ = at::TensorOptions().device(device(0));
};

TEST_F(Device, NothingIsComputedBeforeSomebodyWaits) {
  const at::Tensor a = at::arange(6, at::kFloat).to(device(0));
  const auto before = Machine::instance().synchronizations(0);
  const at::Tensor b = (a * 2 + 1).view({2, 3}).t().contiguous();
  EXPECT_EQ(Machine::instance().synchronizations(0), before);
  EXPECT_EQ(b[2][1].item<float>(), 11);
  EXPECT_EQ(Machine::instance().synchronizations(0), before + 1);
}

TEST_F(Device, FreshMemoryIsGarbage) { EXPECT_GT(at::empty({5}, here_).min().item<float>(), 1e38); }

TEST_F(Device, AStreamSeesWhatAnotherHasDoneOnlyBehindAnEvent) {
  const c10::Stream other = guard_.getStreamFromGlobalPool(device(0), false);
  for (const bool waits : {true, false}) {
    const at::Tensor a = at::zeros({4}, here_);
    guard_.synchronizeStream(guard_.getStream(device(0)));
    a.add_(1);
    c10::Event added(device(0).type());
    added.record(guard_.getStream(device(0)));
    if (waits) added.block(other);
    at::Tensor seen;
    {
      const c10::StreamGuard on_other(other);
      seen = a.clone();
      EXPECT_EQ(seen.sum().item<float>(), waits ? 4 : 0);
    }
  }
}

TEST_F(Device, FreedMemoryIsOverwrittenByTheNextOfItsStream) {
  const c10::Stream other = guard_.getStreamFromGlobalPool(device(0), false);
  for (const bool tells : {true, false}) {
    at::Tensor a = at::ones({1000}, here_);
    c10::Event made(device(0).type());
    made.record(guard_.getStream(device(0)));
    made.block(other);
    at::Tensor seen;
    {
      const c10::StreamGuard on_other(other);
      seen = a.clone();
    }
    if (tells) a.record_stream(other);
    a = at::Tensor();
    const at::Tensor next = at::zeros({1000}, here_);
    EXPECT_EQ(next.sum().item<float>(), 0);
    const c10::StreamGuard on_other(other);
    EXPECT_EQ(seen.sum().item<float>() == 1000, tells);
  }
}

TEST_F(Device, WhatIsCopiedFromPinnedMemoryIsReadWhenItsTurnComes) {
  for (const bool pinned : {true, false}) {
    at::Tensor host = at::ones({3});
    if (pinned) host = host.pin_memory();
    const at::Tensor there = host.to(device(0), at::kFloat, /*non_blocking=*/true);
    host.zero_();
    EXPECT_EQ(there.sum().item<float>(), pinned ? 0 : 3);
  }
}

TEST_F(Device, WhatIsCopiedToPinnedMemoryIsThereOnlyBehindAWait) {
  const at::Tensor there = at::ones({3}, here_);
  const at::Tensor pinned = at::zeros({3}, at::TensorOptions().pinned_memory(true));
  EXPECT_TRUE(pinned.is_pinned());
  pinned.copy_(there, /*non_blocking=*/true);
  EXPECT_EQ(pinned.sum().item<float>(), 0);
  guard_.synchronizeStream(guard_.getStream(device(0)));
  EXPECT_EQ(pinned.sum().item<float>(), 3);
}

TEST_F(Device, TheHostCannotTouchItsMemory) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const at::Tensor there = at::ones({3}, here_);
  guard_.synchronizeStream(guard_.getStream(device(0)));
  EXPECT_DEATH(static_cast<void>(*static_cast<volatile float*>(there.mutable_data_ptr())),
               "The host has touched the memory of a device");
}

TEST_F(Device, TensorsOfTwoDevicesDoNotMix) {
  const at::Tensor a = at::ones({3}, here_);
  EXPECT_THROW(a + at::ones({3}, here_.device(device(1))), c10::Error);
  EXPECT_THROW(a + at::ones({3}), c10::Error);
  EXPECT_EQ((a + a.to(device(1)).to(device(0))).sum().item<float>(), 6);
}

TEST_F(Device, WhoSetsNoDeviceUsesTheFirst) {
  forget_devices_in_use();
  {
    const c10::DeviceGuard second(device(1));
    at::ones({3}, at::TensorOptions().device("rehearsal")).add(1);
  }
  EXPECT_EQ(devices_in_use(), std::set<int>{1});
  std::thread([] { at::ones({3}, at::TensorOptions().device("rehearsal")); }).join();
  EXPECT_EQ(devices_in_use(), (std::set<int>{0, 1}));
}

TEST_F(Device, ACollectivesWaitReturnsAtOnceAndOrdersTheStream) {
  comm::LocalWorld world(2);
  on_rank_threads(world, 2, [&](std::int64_t rank) {
    const at::Device mine = device(static_cast<int>(rank));
    const c10::DeviceGuard current(mine);
    const auto backend = make_rehearsal_backend("wait", rank, mine);
    const auto group = backend->make_group("world", {0, 1}, std::chrono::seconds(60), nullptr);
    EXPECT_EQ(group->device(), mine);
    const auto before = Machine::instance().synchronizations(static_cast<int>(rank));
    const at::Tensor sum = at::full({3}, static_cast<double>(rank + 1), here_.device(mine));
    group->all_reduce(sum).wait();
    const at::Tensor gathered = at::empty({6}, sum.options());
    group->all_gather(gathered, sum).wait();
    EXPECT_EQ(Machine::instance().synchronizations(static_cast<int>(rank)), before);
    EXPECT_EQ(gathered.sum().item<float>(), 18);
    // Both send first.
    const at::Tensor theirs = at::empty({3}, sum.options());
    const at::Tensor own = at::full({3}, static_cast<double>(rank + 1), sum.options());
    using Direction = comm::Message::Direction;
    group->exchange({{theirs, 1 - rank, Direction::kReceive}, {own, 1 - rank, Direction::kSend}})
        .wait();
    (rank == 0 ? group->send(own, 1) : group->receive(own, 0)).wait();
    EXPECT_EQ(Machine::instance().synchronizations(static_cast<int>(rank)), before + 1);
    EXPECT_EQ(theirs.sum().item<float>(), static_cast<float>(3 * (2 - rank)));
    EXPECT_EQ(own.sum().item<float>(), 3);
    group->barrier();
  });
}

}  // namespace
}  // namespace titan::test::rehearsal
