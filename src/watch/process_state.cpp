#include "watch/process_state.h"

#include <signal.h>

#include <cerrno>
#include <filesystem>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::watch {
namespace {

std::string read_proc(const std::string& path) {
  try {
    return base::read_whole_file(base::posix_file_system(), path, 1 << 16);
  } catch (const RunError&) {
    return {};
  }
}

}  // namespace

ProcessState process_state(std::int64_t pid) {
  if (pid <= 0 || (::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH)) {
    return pid <= 0 ? ProcessState::kUnknown : ProcessState::kGone;
  }
  // "pid (name) state ...", where the name may hold anything.
  const std::string stat = read_proc("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= stat.size()) return ProcessState::kUnknown;
  switch (stat[name_end + 2]) {
    case 'T':
    case 't':
      return ProcessState::kStopped;
    case 'Z':
    case 'X':
    case 'x':
      return ProcessState::kGone;
    default:
      return ProcessState::kRunning;
  }
}

std::string machine_identity() {
  std::error_code failed;
  const std::string space = std::filesystem::read_symlink("/proc/self/ns/pid", failed);
  std::string boot = read_proc("/proc/sys/kernel/random/boot_id");
  while (!boot.empty() && boot.back() == '\n') boot.pop_back();
  return failed || boot.empty() ? std::string() : boot + " " + space;
}

}  // namespace titan::watch
