#include "tools/control_groups.h"

#include <sstream>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::tools {
namespace {

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

/// Looks for version 2, or the tree of version 1 that has the controller (man 5 proc_pid_mountinfo).
std::optional<Mount> find_mount(const std::string& mountinfo, std::string_view controller,
                                bool version_2) {
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
    if (version_2 ? type == "cgroup2" : type == "cgroup" && is_listed(controller, options)) {
      return mount;
    }
  }
  return std::nullopt;
}

/// This process's group: "0::/a/b" of version 2, "4:memory:/a/b" of version 1 (man 7 cgroups).
std::optional<std::string> find_group(const std::string& groups, std::string_view controller,
                                      bool version_2) {
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version_2 ? line.starts_with("0::") : is_listed(controller, controllers)) {
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

}  // namespace

std::string text_of_control_file(const std::string& path) try {
  return base::read_whole_file(base::posix_file_system(), path, 16 << 20);
} catch (const RunError&) {
  return "";
}

ControlGroups control_groups(std::string_view controller, const std::string& root) {
  const std::string mountinfo = text_of_control_file(root + "/proc/self/mountinfo");
  const std::string groups = text_of_control_file(root + "/proc/self/cgroup");
  ControlGroups result;
  for (const bool version_2 : {false, true}) {
    const std::optional<Mount> mount = find_mount(mountinfo, controller, version_2);
    const std::optional<std::string> group = find_group(groups, controller, version_2);
    if (!mount || !group) continue;
    const std::string top = root + mount->point;
    std::string below = below_top(*group, mount->top);
    if (!version_2) {
      result.version_1 = top + below;
      continue;
    }
    for (;; below.erase(below.rfind('/'))) {  // "/a/b", "/a", ""
      result.version_2.push_back(top + below);
      if (below.find('/') == std::string::npos) break;
    }
  }
  return result;
}

}  // namespace titan::tools
