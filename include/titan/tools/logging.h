#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "titan/base/errors.h"

namespace titan::tools {

enum class LogLevel { kInfo, kWarning, kError };

/// Writes "[titan] 2025-12-26 10:11:12,345 - root - INFO - message" (local time) to standard
/// output and flushes it. Any thread. Never throws and never ends the program: where standard
/// output is a closed pipe or a full disk, the line is lost.
void write_log(LogLevel level, std::string_view message);

/// From now on the log goes to standard error: for commands whose result is their standard output.
/// Before other threads log.
void log_to_standard_error();

/// While it lives, what this thread logs says which rank it is, and where `shows_info` is false only
/// warnings and errors are logged. For ranks that are threads of one process.
class RankLog {
 public:
  RankLog(std::int64_t rank, bool shows_info);
  ~RankLog();
  RankLog(const RankLog&) = delete;
  RankLog& operator=(const RankLog&) = delete;

 private:
  std::string outer_prefix_;
  bool outer_shows_info_;
};

/// Like `log_warning`, but each distinct message once in the life of the process.
void warn_once(std::string_view message);

/// Streams all parts into one message: `log_info("step ", 3)`.
template <class... Parts>
void log_info(const Parts&... parts) {
  write_log(LogLevel::kInfo, concat(parts...));
}

template <class... Parts>
void log_warning(const Parts&... parts) {
  write_log(LogLevel::kWarning, concat(parts...));
}

template <class... Parts>
void log_error(const Parts&... parts) {
  write_log(LogLevel::kError, concat(parts...));
}

}  // namespace titan::tools
