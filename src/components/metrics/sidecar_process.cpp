#include "components/metrics/sidecar_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "titan/base/descriptor.h"
#include "titan/base/errors.h"

extern char** environ;

namespace titan::components {
namespace {

using base::Descriptor;

constexpr int kScriptFile = 3;  // where the program finds its own source

[[noreturn]] void fail(const std::string& action, int error) {
  throw RunError(concat("cannot ", action, ": ", std::strerror(error)));
}

/// Owns a descriptor, under a number above those that the child's own files will have, so that none
/// overwrites another; closed on exec.
Descriptor own(int descriptor) {
  if (descriptor == -1) fail("create a pipe", errno);
  const Descriptor low(descriptor);
  Descriptor high(::fcntl(low.get(), F_DUPFD_CLOEXEC, 10));
  if (!high.is_open()) fail("create a pipe", errno);
  return high;
}

struct Pipe {
  Descriptor read_end;
  Descriptor write_end;
};

Pipe make_pipe() {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("create a pipe", errno);
  Descriptor read_end = own(ends[0]);
  return {std::move(read_end), own(ends[1])};
}

/// A file in memory with `text`, at its beginning.
Descriptor memory_file(const std::string& text) {
  Descriptor file = own(::memfd_create("script", MFD_CLOEXEC));
  const ssize_t length = static_cast<ssize_t>(text.size());
  if (::pwrite(file.get(), text.data(), text.size(), 0) != length) fail("hold a script", errno);
  return file;
}

/// What the child does between fork and exec.
class ChildSetup {
 public:
  ChildSetup() {
    posix_spawn_file_actions_init(&files_);
    posix_spawnattr_init(&attributes_);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes_, &signals);
    sigaddset(&signals, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes_, &signals);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~ChildSetup() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  ChildSetup(const ChildSetup&) = delete;
  ChildSetup& operator=(const ChildSetup&) = delete;

  posix_spawn_file_actions_t* files() { return &files_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

}  // namespace

SidecarProcess::SidecarProcess(const Program& program) {
  Pipe input = make_pipe();
  Pipe answers = make_pipe();
  const Descriptor script = memory_file(program.script);
  const int log = ::open(program.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log == -1) fail("write '" + program.log_path + "'", errno);
  const Descriptor log_file = own(log);

  ChildSetup child;
  posix_spawn_file_actions_adddup2(child.files(), input.read_end.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(child.files(), answers.write_end.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(child.files(), log_file.get(), STDERR_FILENO);
  posix_spawn_file_actions_adddup2(child.files(), script.get(), kScriptFile);
  posix_spawn_file_actions_addclosefrom_np(child.files(), kScriptFile + 1);

  std::string python = program.python;
  std::string flag = "-c";
  std::string loader = concat("exec(open(", kScriptFile, ").read())");
  std::string title = program.title;
  std::array<char*, 5> arguments = {python.data(), flag.data(), loader.data(), title.data(),
                                    nullptr};
  const int error = ::posix_spawnp(&pid_, python.c_str(), child.files(), child.attributes(),
                                   arguments.data(), environ);
  if (error != 0) fail("start '" + python + "'", error);
  input_ = input.write_end.release();
  answers_ = answers.read_end.release();
  ::fcntl(input_, F_SETFL, O_NONBLOCK);
  ::fcntl(answers_, F_SETFL, O_NONBLOCK);
}

SidecarProcess::~SidecarProcess() {
  close_input();
  ::close(answers_);
  ended();
}

void SidecarProcess::close_input() {
  if (input_ != -1) ::close(std::exchange(input_, -1));
}

std::optional<std::string> SidecarProcess::ended() {
  int status = 0;
  if (!end_ && ::waitpid(pid_, &status, WNOHANG) != 0) {
    end_ = WIFSIGNALED(status) ? concat("signal ", WTERMSIG(status))
                               : concat("exit status ", WEXITSTATUS(status));
  }
  return end_;
}

}  // namespace titan::components
