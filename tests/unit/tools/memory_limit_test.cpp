#include "tools/memory_limit.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "support/temporary_folder.h"
#include "titan/tools/process.h"

namespace titan::tools {
namespace {

constexpr std::uint64_t kMegabyte = 1 << 20;

/// A machine's /proc and /sys as far as memory limits go.
class CgroupTest : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_.path() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::uint64_t limit() { return cgroup_memory_limit(root_.path()); }

  test::TemporaryFolder root_;
};

constexpr const char* kVersion2 =
    "22 1 0:20 / / rw - ext4 /dev/sda rw\n"
    "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST_F(CgroupTest, NoControlGroupsNoLimit) {
  EXPECT_EQ(limit(), kNoLimit);
  write("/proc/self/cgroup", "0::/\n");
  write("/proc/self/mountinfo", kVersion2);
  EXPECT_EQ(limit(), kNoLimit) << "the machine's own group has no file with a limit";
}

TEST_F(CgroupTest, AContainerOfVersion2) {
  write("/proc/self/cgroup", "0::/\n");
  write("/proc/self/mountinfo", kVersion2);
  write("/sys/fs/cgroup/memory.max", "629145600\n");
  EXPECT_EQ(limit(), 600 * kMegabyte);
  write("/sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(limit(), kNoLimit);
}

TEST_F(CgroupTest, GroupsAroundOnesOwnLimitTooInVersion2) {
  write("/proc/self/cgroup", "0::/system.slice/job_7/step_0\n");
  write("/proc/self/mountinfo", kVersion2);
  write("/sys/fs/cgroup/system.slice/job_7/step_0/memory.max", "max\n");
  write("/sys/fs/cgroup/system.slice/job_7/memory.max", "1048576\n");
  write("/sys/fs/cgroup/system.slice/memory.max", "9048576\n");
  EXPECT_EQ(limit(), kMegabyte);
  write("/sys/fs/cgroup/system.slice/memory.max", "4096\n");
  EXPECT_EQ(limit(), 4096);
}

TEST_F(CgroupTest, AGroupOutsideOfTheNamespaceIsSeenAsItsTop) {
  write("/proc/self/cgroup", "0::/../../other\n");
  write("/proc/self/mountinfo", kVersion2);
  write("/sys/fs/cgroup/memory.max", "4096\n");
  EXPECT_EQ(limit(), 4096);
}

TEST_F(CgroupTest, Version1KnowsWhatTheGroupsAroundItAllow) {
  write("/proc/self/cgroup", "5:cpu,cpuacct:/\n4:hugetlb,memory:/slurm/uid_0/job_7\n0::/\n");
  write("/proc/self/mountinfo",
        "34 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw shared:1 master:2 - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  const std::string job = "/sys/fs/cgroup/memory/slurm/uid_0/job_7/";
  write(job + "memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_GT(limit(), kMegabyte * kMegabyte) << "no limit";
  write(job + "memory.limit_in_bytes", "629145600\n");
  EXPECT_EQ(limit(), 600 * kMegabyte);
  write(job + "memory.stat", "cache 5\nhierarchical_memory_limit 1048576\nrss 3\n");
  EXPECT_EQ(limit(), kMegabyte);
}

TEST_F(CgroupTest, AContainerOfVersion1MountsItsOwnGroup) {
  write("/proc/self/cgroup", "4:memory:/docker/abc\n");
  write("/proc/self/mountinfo",
        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "629145600\n");
  EXPECT_EQ(limit(), 600 * kMegabyte);
  write("/proc/self/cgroup", "4:memory:/kubepods/pod\n");  // moved, or another namespace
  EXPECT_EQ(limit(), 600 * kMegabyte);
}

TEST_F(CgroupTest, StrangeFilesAreNoLimit) {
  write("/proc/self/cgroup", "\n:\nmemory\n4:memory\n0::\n");
  write("/proc/self/mountinfo", "\n - \n- cgroup2\n1 2 3\n" + std::string(kVersion2));
  write("/sys/fs/cgroup/memory.max", "no number");
  EXPECT_EQ(limit(), kNoLimit);
}

TEST(MemoryLimitDeathTest, TotalMemoryIsAtMostUlimitV) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const std::uint64_t total = total_memory_bytes();
        rlimit small;
        small.rlim_cur = small.rlim_max = total / 2;
        const bool set = ::setrlimit(RLIMIT_AS, &small) == 0;
        const bool right = total_memory_bytes() == total / 2 && unused_memory_bytes() < total / 2 &&
                           unused_memory_bytes() > 0;
        _exit(set && right ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(MemoryLimit, WhatIsInUseIsNotUnused) {
  EXPECT_LE(unused_memory_bytes(), total_memory_bytes() - resident_bytes() + 64 * kMegabyte);
  EXPECT_LE(total_memory_bytes(), cgroup_memory_limit());
}

}  // namespace
}  // namespace titan::tools
