#include "forecast/memory_tracker.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <thread>

namespace titan::forecast {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

TEST(MemoryTracker, CountsWhatItsThreadAllocatesInItsScope) {
  const auto tracker = std::make_shared<MemoryTracker>();
  const at::Tensor before = at::zeros({kMiB});
  at::Tensor inside;
  {
    const TrackingScope scope(tracker, Memory::kReal);
    inside = at::ones({kMiB});
    std::thread([] { at::zeros({kMiB}); }).join();
  }
  const at::Tensor after = at::zeros({kMiB});
  EXPECT_EQ(tracker->live().total(), 4 * kMiB);
  EXPECT_EQ(tracker->peak().total(), 4 * kMiB);
  EXPECT_EQ(inside.sum().item<float>(), kMiB) << "it is real memory";
}

TEST(MemoryTracker, HearsOfTheEndOfMemoryFromAnywhere) {
  auto tracker = std::make_shared<MemoryTracker>();
  at::Tensor tensor;
  {
    const TrackingScope scope(tracker, Memory::kReal);
    tensor = at::empty({kMiB});
  }
  std::thread([&] { tensor.reset(); }).join();
  EXPECT_EQ(tracker->live().total(), 0);
  {
    const TrackingScope scope(tracker, Memory::kReal);
    tensor = at::empty({kMiB});
  }
  tracker.reset();
  tensor.reset();  // the memory keeps the tracker alive
}

TEST(MemoryTracker, PeaksAreSinceTheReset) {
  const auto tracker = std::make_shared<MemoryTracker>();
  const TrackingScope scope(tracker, Memory::kReal);
  { const at::Tensor large = at::empty({4 * kMiB}); }
  const at::Tensor small = at::empty({kMiB});
  EXPECT_EQ(tracker->peak().total(), 16 * kMiB);
  tracker->reset_peak();
  EXPECT_EQ(tracker->peak().total(), 4 * kMiB);
}

TEST(MemoryTracker, TellsPurposesApart) {
  const auto tracker = std::make_shared<MemoryTracker>();
  const TrackingScope outer(tracker, Memory::kReal, Purpose::kBuffer);
  const at::Tensor buffer = at::empty({kMiB});
  const TrackingScope inner(tracker, Memory::kReal, Purpose::kResult);
  const at::Tensor result = at::empty({2 * kMiB});
  EXPECT_EQ(tracker->peak().buffers, 4 * kMiB);
  EXPECT_EQ(tracker->peak().results, 8 * kMiB);
}

TEST(MemoryTracker, LibrariesMayAskForAnAddressOnly) {
  const auto tracker = std::make_shared<MemoryTracker>();
  c10::Allocator* allocator = nullptr;
  void* counted = nullptr;
  {
    const TrackingScope scope(tracker, Memory::kReal);
    allocator = c10::GetCPUAllocator();
    counted = allocator->raw_allocate(kMiB);
  }
  void* uncounted = allocator->raw_allocate(kMiB);
  EXPECT_EQ(tracker->live().total(), kMiB);
  allocator->raw_deallocate(counted);
  allocator->raw_deallocate(uncounted);
  EXPECT_EQ(tracker->live().total(), 0);
}

}  // namespace
}  // namespace titan::forecast
