#include "titan/tools/logging.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace titan::tools {
namespace {

/// Level names as Python's logging writes them; spdlog's own are lower-case.
class PythonLevelName : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string_view name = message.level == spdlog::level::info   ? "INFO"
                                  : message.level == spdlog::level::warn ? "WARNING"
                                                                         : "ERROR";
    out.append(name.data(), name.data() + name.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<PythonLevelName>();
  }
};

/// Without this, a write to a pipe that nobody reads would kill the run, and where the program was
/// started with standard output closed, the next file it opens would receive the log.
void survive_without_reader() {
  struct sigaction action;
  if (::sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) {
    ::signal(SIGPIPE, SIG_IGN);
  }
  if (::fcntl(STDOUT_FILENO, F_GETFD) == -1) {
    const int null = ::open("/dev/null", O_WRONLY);
    if (null != -1 && null != STDOUT_FILENO) {
      ::dup2(null, STDOUT_FILENO);
      ::close(null);
    }
  }
}

/// The sink flushes every line.
void set_sink(spdlog::logger& logger, spdlog::sink_ptr sink) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<PythonLevelName>('*').set_pattern(
      "[titan] %Y-%m-%d %H:%M:%S,%e - %n - %* - %v");
  logger.sinks() = {std::move(sink)};
  logger.set_formatter(std::move(formatter));
}

std::unique_ptr<spdlog::logger> make_logger() {
  survive_without_reader();
  auto logger = std::make_unique<spdlog::logger>("root");
  set_sink(*logger, std::make_shared<spdlog::sinks::stdout_sink_mt>());
  logger->set_error_handler([](const std::string&) {});
  return logger;
}

spdlog::logger& logger() {
  static const std::unique_ptr<spdlog::logger> instance = make_logger();
  return *instance;
}

thread_local std::string rank_prefix;  // "[rank 3] ", or nothing
thread_local bool rank_shows_info = true;

}  // namespace

void log_to_standard_error() {
  set_sink(logger(), std::make_shared<spdlog::sinks::stderr_sink_mt>());
}

RankLog::RankLog(std::int64_t rank, bool shows_info)
    : outer_prefix_(std::exchange(rank_prefix, rank == 0 ? "" : concat("[rank ", rank, "] "))),
      outer_shows_info_(std::exchange(rank_shows_info, shows_info)) {}

RankLog::~RankLog() {
  rank_prefix = outer_prefix_;
  rank_shows_info = outer_shows_info_;
}

void write_log(LogLevel level, std::string_view message) {
  if (level == LogLevel::kInfo && !rank_shows_info) return;
  const std::string prefixed = rank_prefix.empty() ? std::string() : concat(rank_prefix, message);
  if (!prefixed.empty()) message = prefixed;
  const spdlog::string_view_t text(message.data(), message.size());
  switch (level) {
    case LogLevel::kInfo:
      return logger().log(spdlog::level::info, text);
    case LogLevel::kWarning:
      return logger().log(spdlog::level::warn, text);
    case LogLevel::kError:
      return logger().log(spdlog::level::err, text);
  }
}

void warn_once(std::string_view message) {
  static std::mutex mutex;
  static std::set<std::string, std::less<>> seen;
  {
    const std::lock_guard lock(mutex);
    if (!seen.emplace(message).second) {
      return;
    }
  }
  write_log(LogLevel::kWarning, message);
}

}  // namespace titan::tools
