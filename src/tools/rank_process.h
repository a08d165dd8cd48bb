#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/descriptor.h"

namespace titan::tools {

/// Passes text on line by line, each behind a prefix, and remembers the last lines.
class LineForwarder {
 public:
  /// `to` -1: to nowhere.
  LineForwarder(int to, std::string prefix) : to_(to), prefix_(std::move(prefix)) {}

  void take(const char* text, std::size_t size);
  /// What has no line end yet.
  void flush();
  const std::deque<std::string>& last_lines() const { return last_lines_; }

 private:
  void forward(std::string line);

  int to_;
  std::string prefix_;
  std::string rest_;
  std::deque<std::string> last_lines_;
};

/// A rank that runs as a child, the first of a process group of its own.
class RankProcess {
 public:
  struct Setup {
    std::int64_t rank = 0;
    std::vector<std::string> command;
    std::map<std::string, std::string> environment;  // beside this process's own
    bool shows_output = false;
    bool names_output = false;  // "[rank k] " in front of its standard output, too
  };

  /// Starts it. Throws RunError.
  explicit RankProcess(const Setup& setup);
  /// Kills what still runs.
  ~RankProcess();
  RankProcess(const RankProcess&) = delete;
  RankProcess& operator=(const RankProcess&) = delete;

  std::int64_t rank() const { return rank_; }
  pid_t pid() const { return pid_; }
  bool running() const { return !status_; }
  /// To the rank and what it has started.
  void send(int signal) const;
  /// Whether it has ended since the last call.
  bool reap();
  bool failed() const;
  /// 128 + the signal that killed it, or what it returned.
  int exit_status() const;
  /// "rank 2 (pid 123) was killed by signal 9 (Killed)", then its last message.
  std::string epitaph() const;

  const base::Descriptor& output() const { return output_; }
  const base::Descriptor& errors() const { return errors_; }
  void read_output() { read(output_, output_lines_); }
  void read_errors() { read(errors_, error_lines_); }

 private:
  static void read(base::Descriptor& from, LineForwarder& to);
  [[noreturn]] static void become(const Setup& setup, int output, int errors, pid_t parent);

  std::int64_t rank_;
  pid_t pid_ = -1;
  std::optional<int> status_;  // as waitpid gives it
  base::Descriptor output_;
  base::Descriptor errors_;
  LineForwarder output_lines_;
  LineForwarder error_lines_;
};

}  // namespace titan::tools
