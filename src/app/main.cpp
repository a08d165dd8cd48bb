#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "app/commands.h"
#include "titan/base/errors.h"
#include "titan/tools/error_file.h"

namespace {

enum ExitStatus { kRunFailed = 1, kConfigRefused = 2, kInternalError = 70 };

int fail(ExitStatus status, const char* what) {
  std::fflush(stdout);
  std::fprintf(stderr, "titan_train: %s\n", what);
  titan::tools::leave_error_file(what);
  return status;
}

/// As many as the system lets this process have. The usual 1024 are for programs that call select(); ranks of one machine need a
/// file for each message that is under way.
void may_open_files() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGUSR1,
              SIG_IGN);  // asks for a trace (tools/signals.h); before that can be, for nothing
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write, not the end
  may_open_files();
  constexpr const char* kOutOfMemory =
      "out of memory. Lower training.local_batch_size or training.seq_len, choose a "
      "smaller model.flavor, or checkpoint "
      "activations (activation_checkpoint.mode).";
  try {
    return titan::app::run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const titan::ConfigError& error) {
    return fail(kConfigRefused, error.what());
  } catch (const titan::RunError& error) {
    return fail(kRunFailed, error.what());
  } catch (const titan::InternalError& error) {
    return fail(kInternalError, error.what());
  } catch (const std::bad_alloc&) {
    return fail(kRunFailed, kOutOfMemory);
  } catch (const std::length_error&) {  // more than any memory has
    return fail(kRunFailed, kOutOfMemory);
  } catch (const std::exception& error) {
    return fail(kRunFailed, error.what());
  }
}
