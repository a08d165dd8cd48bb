#include "titan/tools/process.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "tools/memory_limit.h"

namespace titan::tools {
namespace {

/// A file of /proc, or nothing where the system has none.
std::string read_proc(const std::string& name) {
  try {
    return base::read_whole_file(base::posix_file_system(), "/proc/" + name, 1 << 20);
  } catch (const RunError&) {
    return {};
  }
}

std::uint64_t leading_number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_of("0123456789"), text.size()));
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// A line such as "VmHWM:	    1728 kB" of /proc/self/status, in bytes. Unlike getrusage's
/// ru_maxrss it does not start with the peak of the process that launched this one.
std::uint64_t status_bytes(std::string_view key) {
  const std::string status = read_proc("self/status");
  const std::size_t line = status.find(key);
  return line == std::string::npos
             ? 0
             : 1024 * leading_number(std::string_view(status).substr(line + key.size()));
}

/// A script that builds first and then becomes this program (exec) keeps its start time, so it says
/// when that was: TITAN_EXEC_TIME, in seconds since 1970.
std::optional<double> seconds_since_exec() {
  const char* text = std::getenv("TITAN_EXEC_TIME");
  if (text == nullptr) {
    return std::nullopt;
  }
  char* end = nullptr;
  const double exec_time = std::strtod(text, &end);
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  const double seconds =
      static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) - exec_time;
  return end != text && *end == '\0' && seconds >= 0 ? std::optional(seconds) : std::nullopt;
}

std::uint64_t physical_limit() {
  const auto machine = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                       static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return std::min(machine, cgroup_memory_limit());
}

}  // namespace

std::uint64_t peak_resident_bytes() { return status_bytes("\nVmHWM:"); }

std::uint64_t resident_bytes() { return status_bytes("\nVmRSS:"); }

std::uint64_t total_memory_bytes() { return std::min(physical_limit(), address_space_limit()); }

std::uint64_t unused_memory_bytes() {
  const auto rest = [](std::uint64_t limit, std::uint64_t used) {
    return limit > used ? limit - used : 0;
  };
  return std::min(rest(physical_limit(), resident_bytes()),
                  rest(address_space_limit(), status_bytes("\nVmSize:")));
}

double process_age_seconds() {
  // "pid (name) state ...": the name may hold blanks; the start time is field 22, the 20th after.
  const std::string stat = read_proc("self/stat");
  std::string_view rest = stat;
  rest.remove_prefix(std::min(rest.rfind(')'), rest.size()));
  for (int field = 2; field < 22; ++field) {
    const std::size_t blank = rest.find(' ');
    if (blank == std::string_view::npos) {
      return 0;
    }
    rest.remove_prefix(blank + 1);
  }
  timespec now;
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  const double started =
      static_cast<double>(leading_number(rest)) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  const double age =
      static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) - started;
  return std::min(age, seconds_since_exec().value_or(age));
}

}  // namespace titan::tools
