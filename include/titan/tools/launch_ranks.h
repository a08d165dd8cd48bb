#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace titan::tools {

/// Ranks of this machine to start as processes.
struct RankLaunch {
  /// Program and arguments of every rank.
  std::vector<std::string> command;
  std::int64_t ranks = 1;
  /// Ranks whose standard output is shown, as "0" or "0,2" (the environment variable LOG_RANK).
  std::string log_ranks = "0";
};

/// The ranks in a list such as "0,2" (the environment variable LOG_RANK). Throws ConfigError.
std::set<std::int64_t> parse_log_ranks(const std::string& text);

/// Starts the ranks with torchrun's environment variables and a free port to meet at, and waits for
/// them. Their standard error is passed on line by line behind "[rank k] ". When one fails, the
/// others are asked to end (SIGTERM) and killed after 5 s; its last message is then repeated, last.
/// SIGINT, SIGTERM, SIGHUP and SIGUSR1 are passed on; 3 s after a second request to stop, and 120 s after
/// another rank has ended well, ranks that still run are killed. Should this process be killed, the kernel kills the
/// ranks.
///
/// Returns the exit status of the rank that failed first, 128 + the signal where a signal killed
/// it, else 0. Throws ConfigError for `log_ranks`, RunError where a process cannot be started. The
/// process has one thread.
int launch_ranks(const RankLaunch& launch);

}  // namespace titan::tools
