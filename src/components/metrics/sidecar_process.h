#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace titan::components {

/// A Python program that runs beside the trainer: it reads what we write, and answers on a pipe.
///
/// It lives in a session of its own, so that Ctrl-C in our terminal does not reach it; it inherits
/// none of our files; and it sees the end of its input when this process ends, however it ends.
class SidecarProcess {
 public:
  struct Program {
    std::string python;    // looked up on PATH when it has no slash
    std::string script;    // the source text
    std::string title;     // what a list of processes shows as its argument
    std::string log_path;  // receives its standard error and anything else it prints
  };

  /// Throws RunError when it cannot be started.
  explicit SidecarProcess(const Program& program);
  /// Closes the pipes and waits for nothing: the program may still be finishing.
  ~SidecarProcess();
  SidecarProcess(const SidecarProcess&) = delete;
  SidecarProcess& operator=(const SidecarProcess&) = delete;

  /// Our end of its standard input, never blocking; -1 after `close_input`.
  int input() const { return input_; }
  /// Our end of the pipe of its answers, never blocking.
  int answers() const { return answers_; }
  void close_input();

  /// "exit status 3" or "signal 9" once it has ended; from then on no zombie is left.
  std::optional<std::string> ended();

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  int answers_ = -1;
  std::optional<std::string> end_;
};

}  // namespace titan::components
