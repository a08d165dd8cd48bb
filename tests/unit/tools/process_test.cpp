#include "titan/tools/process.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <chrono>
#include <cstring>
#include <thread>

namespace titan::tools {
namespace {

constexpr std::uint64_t kMegabyte = 1 << 20;

TEST(Process, ResidentMemoryFollowsWhatIsTouchedAndThePeakStays) {
  const std::uint64_t before = resident_bytes();
  // Straight from the kernel: an allocator may keep what it is given back.
  void* const block =
      mmap(nullptr, 64 * kMegabyte, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(block, MAP_FAILED);
  std::memset(block, 1, 64 * kMegabyte);
  EXPECT_GT(resident_bytes(), before + 60 * kMegabyte);
  ASSERT_EQ(munmap(block, 64 * kMegabyte), 0);
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

TEST(Process, AgeCountsFromTheTimeThatAScriptSays) {
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  setenv("TITAN_EXEC_TIME", std::to_string(now).c_str(), 1);
  EXPECT_GE(process_age_seconds(), 0.02);
  setenv("TITAN_EXEC_TIME", std::to_string(now + 3600).c_str(), 1);
  EXPECT_GE(process_age_seconds(), 0.02) << "a time to come is no time";
  setenv("TITAN_EXEC_TIME", "yesterday", 1);
  EXPECT_GE(process_age_seconds(), 0.02);
  unsetenv("TITAN_EXEC_TIME");
}

}  // namespace
}  // namespace titan::tools
