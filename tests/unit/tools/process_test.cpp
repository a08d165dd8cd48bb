#include "titan/tools/process.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

namespace titan::tools {
namespace {

constexpr std::uint64_t kMegabyte = 1 << 20;

TEST(Process, ResidentMemoryFollowsWhatIsTouchedAndThePeakStays) {
  const std::uint64_t before = resident_bytes();
  {
    const auto block = std::make_unique_for_overwrite<char[]>(64 * kMegabyte);
    std::memset(block.get(), 1, 64 * kMegabyte);
    EXPECT_GT(resident_bytes(), before + 60 * kMegabyte) << static_cast<int>(block[kMegabyte]);
  }
  EXPECT_LT(resident_bytes(), before + 32 * kMegabyte);
  EXPECT_GT(peak_resident_bytes(), before + 60 * kMegabyte);
}

TEST(Process, ThePeakIsBelowTheMachinesMemory) {
  EXPECT_LT(peak_resident_bytes(), total_memory_bytes());
  EXPECT_GT(total_memory_bytes(), 256 * kMegabyte);
}

TEST(Process, AgeGrowsWithTheClock) {
  const double age = process_age_seconds();
  EXPECT_GE(age, 0);
  EXPECT_LT(age, 300);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_NEAR(process_age_seconds() - age, 0.03, 0.5);
  EXPECT_GT(process_age_seconds(), age);
}

}  // namespace
}  // namespace titan::tools
