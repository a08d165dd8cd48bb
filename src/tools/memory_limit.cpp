#include "tools/memory_limit.h"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "tools/control_groups.h"

namespace titan::tools {
namespace {

/// "max" is no number and no limit.
std::uint64_t leading_limit(std::string_view text) {
  std::uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  return error == std::errc() ? bytes : kNoLimit;
}

/// Of a group of version 1, which knows what the groups around it allow.
std::uint64_t limit_of_version_1(const std::string& folder) {
  constexpr std::string_view kKey = "hierarchical_memory_limit ";
  const std::string stat = text_of_control_file(folder + "/memory.stat");
  const std::size_t key = stat.find(kKey);
  const std::uint64_t around =
      key == std::string::npos ? kNoLimit
                               : leading_limit(std::string_view(stat).substr(key + kKey.size()));
  return std::min(around, leading_limit(text_of_control_file(folder + "/memory.limit_in_bytes")));
}

}  // namespace

std::uint64_t cgroup_memory_limit(const std::string& root) {
  const ControlGroups groups = control_groups("memory", root);
  std::uint64_t limit = kNoLimit;
  if (groups.version_1) limit = limit_of_version_1(*groups.version_1);
  for (const std::string& folder : groups.version_2) {
    limit = std::min(limit, leading_limit(text_of_control_file(folder + "/memory.max")));
  }
  return limit;
}

std::uint64_t address_space_limit() {
  rlimit limit = {};
  return ::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur
                                                                                : kNoLimit;
}

}  // namespace titan::tools
