#include "titan/tools/cores.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "tools/control_groups.h"

namespace titan::tools {
namespace {

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

/// Microseconds in a period of so many: "200000 100000"; "max" or -1 is no quota.
double cores_of(const std::string& text) {
  std::istringstream words(text);
  double quota = 0;
  double period = 0;
  const bool is_quota = static_cast<bool>(words >> quota >> period) && quota > 0 && period > 0;
  return is_quota ? quota / period : kNoQuota;
}

double quota_in_cores(const std::string& root) {
  const ControlGroups groups = control_groups("cpu", root);
  double cores = kNoQuota;
  if (groups.version_1) {
    cores = cores_of(text_of_control_file(*groups.version_1 + "/cpu.cfs_quota_us") + " " +
                     text_of_control_file(*groups.version_1 + "/cpu.cfs_period_us"));
  }
  for (const std::string& folder : groups.version_2) {
    cores = std::min(cores, cores_of(text_of_control_file(folder + "/cpu.max")));
  }
  return cores;
}

}  // namespace

std::int64_t usable_cores(const std::string& root) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  // A set holds 1024: on larger machines the system refuses it, and all count.
  const std::int64_t cores = ::sched_getaffinity(0, sizeof(allowed), &allowed) == 0
                                 ? CPU_COUNT(&allowed)
                                 : std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN));
  const double quota = quota_in_cores(root);
  if (quota >= static_cast<double>(cores)) return cores;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::floor(quota)));
}

}  // namespace titan::tools
