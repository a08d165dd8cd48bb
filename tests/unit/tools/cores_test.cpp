#include "titan/tools/cores.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/temporary_folder.h"

namespace titan::tools {
namespace {

/// A machine's /proc and /sys as far as quotas go.
class Cores : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_.path() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::int64_t cores() { return usable_cores(root_.path()); }

  const std::int64_t all_ = usable_cores("/no such folder");
  test::TemporaryFolder root_;
};

TEST_F(Cores, WithoutAQuotaAreThoseThatTheProcessMayRunOn) {
  EXPECT_GE(all_, 1);
  write("/proc/self/cgroup", "0::/\n");
  write("/proc/self/mountinfo", "31 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(cores(), all_);
  write("/sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(cores(), all_);
  write("/sys/fs/cgroup/cpu.max", "100000000 100000\n");
  EXPECT_EQ(cores(), all_) << "more than there are";
}

TEST_F(Cores, AreWhatTheQuotaOfAnyGroupIsWorth) {
  write("/proc/self/cgroup", "0::/job/step\n");
  write("/proc/self/mountinfo", "31 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  write("/sys/fs/cgroup/job/step/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/job/cpu.max", "199999 100000\n");
  EXPECT_EQ(cores(), 1) << "threads that share a core wait for one another";
  write("/sys/fs/cgroup/job/cpu.max", "20000 100000\n");
  EXPECT_EQ(cores(), 1) << "a fifth of a core is one thread, too";
}

TEST_F(Cores, AQuotaOfVersion1) {
  write("/proc/self/cgroup", "3:cpu,cpuacct:/docker/1\n");
  write("/proc/self/mountinfo",
        "40 30 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
  write("/sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cores(), all_);
  write("/sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "150000\n");
  EXPECT_EQ(cores(), 1);
}

}  // namespace
}  // namespace titan::tools
