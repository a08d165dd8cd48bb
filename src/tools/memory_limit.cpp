#include "tools/memory_limit.h"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>
#include <string_view>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::tools {
namespace {

/// Of a file that the kernel makes when it is read; nothing where there is none.
std::string text_of(const std::string& path) try {
  return base::read_whole_file(base::posix_file_system(), path, 16 << 20);
} catch (const RunError&) {
  return "";
}

/// "max" is no number and no limit.
std::uint64_t leading_limit(std::string_view text) {
  std::uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  return error == std::errc() ? bytes : kNoLimit;
}

bool is_listed(std::string_view name, const std::string& list) {
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) {
    if (word == name) return true;
  }
  return false;
}

/// A tree of control groups: where it is mounted, and which group of it is the mount's top.
struct Mount {
  std::string point;
  std::string top;
};

/// Looks for version 2, or the tree of version 1 that limits memory (man 5 proc_pid_mountinfo).
std::optional<Mount> find_mount(const std::string& mountinfo, bool version_2) {
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream fields(line);
    std::istringstream rest(line.substr(dash + 3));
    std::string id, parent, device, type, source, options;
    Mount mount;
    fields >> id >> parent >> device >> mount.top >> mount.point;
    rest >> type >> source >> options;
    if (version_2 ? type == "cgroup2" : type == "cgroup" && is_listed("memory", options)) {
      return mount;
    }
  }
  return std::nullopt;
}

/// This process's group: "0::/a/b" of version 2, "4:memory:/a/b" of version 1 (man 7 cgroups).
std::optional<std::string> find_group(const std::string& groups, bool version_2) {
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version_2 ? line.starts_with("0::") : is_listed("memory", controllers)) {
      return line.substr(second + 1);
    }
  }
  return std::nullopt;
}

/// The group's path below the mount's top; empty where the group is not below it, because it is in a
/// namespace that is not ours: the top is then the nearest that can be seen.
std::string below_top(std::string group, const std::string& top) {
  if (top != "/") {
    if (!group.starts_with(top)) return "";
    group.erase(0, top.size());
  }
  return group == "/" || group.starts_with("/..") ? "" : group;
}

/// Of a group of version 1, which knows what the groups around it allow.
std::uint64_t limit_of_version_1(const std::string& folder) {
  constexpr std::string_view kKey = "hierarchical_memory_limit ";
  const std::string stat = text_of(folder + "/memory.stat");
  const std::size_t key = stat.find(kKey);
  const std::uint64_t around =
      key == std::string::npos ? kNoLimit
                               : leading_limit(std::string_view(stat).substr(key + kKey.size()));
  return std::min(around, leading_limit(text_of(folder + "/memory.limit_in_bytes")));
}

}  // namespace

std::uint64_t cgroup_memory_limit(const std::string& root) {
  const std::string mountinfo = text_of(root + "/proc/self/mountinfo");
  const std::string groups = text_of(root + "/proc/self/cgroup");
  std::uint64_t limit = kNoLimit;
  for (const bool version_2 : {false, true}) {
    const std::optional<Mount> mount = find_mount(mountinfo, version_2);
    const std::optional<std::string> group = find_group(groups, version_2);
    if (!mount || !group) continue;
    const std::string top = root + mount->point;
    std::string below = below_top(*group, mount->top);
    if (!version_2) {
      limit = std::min(limit, limit_of_version_1(top + below));
      continue;
    }
    for (;; below.erase(below.rfind('/'))) {  // "/a/b", "/a", ""
      limit = std::min(limit, leading_limit(text_of(top + below + "/memory.max")));
      if (below.find('/') == std::string::npos) break;
    }
  }
  return limit;
}

std::uint64_t address_space_limit() {
  rlimit limit = {};
  return ::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur
                                                                                : kNoLimit;
}

}  // namespace titan::tools
