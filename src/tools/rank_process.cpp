#include "tools/rank_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "titan/base/errors.h"

namespace titan::tools {

using base::Descriptor;

namespace {

constexpr std::size_t kLongestLine = 1 << 16;
constexpr std::size_t kMostLastLines = 40;

struct Pipe {
  Descriptor read;
  Descriptor write;
};

Pipe make_pipe() {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw RunError(concat("cannot make a pipe to a rank: ", std::strerror(errno)));
  }
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

/// A reader that is gone loses its lines; the ranks go on.
void write_all(int to, const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(to, text.data() + done, text.size() - done);
    if (written > 0) {
      done += static_cast<std::size_t>(written);
    } else if (errno == EAGAIN) {
      pollfd ready = {to, POLLOUT, 0};
      ::poll(&ready, 1, 1'000);
    } else if (errno != EINTR) {
      return;
    }
  }
}

}  // namespace

void LineForwarder::take(const char* text, std::size_t size) {
  rest_.append(text, size);
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    forward(rest_.substr(begin, end - begin));
  }
  rest_.erase(0, begin);
  if (rest_.size() > kLongestLine) flush();
}

void LineForwarder::flush() {
  if (!rest_.empty()) forward(std::exchange(rest_, {}));
}

void LineForwarder::forward(std::string line) {
  if (to_ >= 0) write_all(to_, prefix_ + line + "\n");
  last_lines_.push_back(std::move(line));
  if (last_lines_.size() > kMostLastLines) last_lines_.pop_front();
}

RankProcess::RankProcess(const Setup& setup)
    : rank_(setup.rank),
      output_lines_(setup.shows_output ? STDOUT_FILENO : -1,
                    setup.names_output ? concat("[rank ", setup.rank, "] ") : ""),
      error_lines_(STDERR_FILENO, concat("[rank ", setup.rank, "] ")) {
  Pipe output = make_pipe();
  Pipe errors = make_pipe();
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) {
    throw RunError(concat("cannot start rank ", rank_, ": ", std::strerror(errno)));
  }
  if (pid_ == 0) become(setup, output.write.get(), errors.write.get(), parent);
  ::setpgid(pid_, pid_);  // the child does it too; whoever comes first
  output_ = std::move(output.read);
  errors_ = std::move(errors.read);
}

void RankProcess::become(const Setup& setup, int output, int errors, pid_t parent) {
  // A group of its own: Ctrl-C reaches the launcher alone, which passes it on once.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // killed before the line above
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(errors, STDERR_FILENO);
  for (const auto& [name, value] : setup.environment) ::setenv(name.c_str(), value.c_str(), 1);
  ::unsetenv("TORCHELASTIC_USE_AGENT_STORE");
  std::vector<char*> arguments;
  for (const std::string& argument : setup.command) arguments.push_back(::strdup(argument.c_str()));
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  ::dprintf(STDERR_FILENO, "titan_train: cannot run %s: %s\n", arguments[0], std::strerror(errno));
  ::_exit(127);
}

RankProcess::~RankProcess() {
  if (!running()) return;
  send(SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
}

void RankProcess::send(int signal) const {
  if (::kill(-pid_, signal) != 0 && running()) ::kill(pid_, signal);
}

bool RankProcess::reap() {
  int status = 0;
  if (!running() || ::waitpid(pid_, &status, WNOHANG) != pid_) return false;
  status_ = status;
  return true;
}

bool RankProcess::failed() const { return status_ && exit_status() != 0; }

int RankProcess::exit_status() const {
  TITAN_CHECK(status_.has_value(), "rank ", rank_, " still runs");
  return WIFSIGNALED(*status_) ? 128 + WTERMSIG(*status_) : WEXITSTATUS(*status_);
}

std::string RankProcess::epitaph() const {
  const std::string who = concat("rank ", rank_, " (pid ", pid_, ") ");
  if (WIFSIGNALED(*status_)) {
    const int signal = WTERMSIG(*status_);
    return concat(
        who, "was killed by signal ", signal, " (", ::strsignal(signal), ")",
        signal == SIGKILL ? "; if nobody did, look for an out-of-memory kill in dmesg" : "");
  }
  const std::deque<std::string>& lines = error_lines_.last_lines();
  auto begin = std::find_if(lines.rbegin(), lines.rend(), [](const std::string& line) {
    return line.starts_with("titan_train: ");
  });
  std::string text = concat(who, "ended with exit status ", WEXITSTATUS(*status_));
  auto line = begin == lines.rend() ? lines.begin() : begin.base() - 1;
  if (line != lines.end()) text += ":";
  for (; line != lines.end(); ++line) text += "\n" + *line;
  return text;
}

void RankProcess::read(Descriptor& from, LineForwarder& to) {
  std::array<char, 1 << 14> buffer;
  while (from.is_open()) {
    const ssize_t size = ::read(from.get(), buffer.data(), buffer.size());
    if (size > 0) {
      to.take(buffer.data(), static_cast<std::size_t>(size));
    } else if (size == 0 || (errno != EINTR && errno != EAGAIN)) {
      to.flush();
      from.close();
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

}  // namespace titan::tools
