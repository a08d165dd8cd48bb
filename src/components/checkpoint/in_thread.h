#pragma once

#include <functional>
#include <future>
#include <string>
#include <system_error>

#include "titan/tools/logging.h"

namespace titan::components {

/// Does `work` in a thread of its own. Where the system has none to give (a limit on processes, or on
/// memory), does it at once and says so: other ranks may be at the same work already, and would wait for
/// this one in vain. `what` names the work: "the save of step-2".
template <class Result>
std::future<Result> in_thread(const std::string& what, const std::function<Result()>& work) {
  try {
    return std::async(std::launch::async, work);
  } catch (const std::system_error& error) {
    tools::log_warning("There is no thread to be had for ", what, " (", error.code().message(),
                       "): training waits for it.");
  }
  std::packaged_task<Result()> task(work);
  task();
  return task.get_future();
}

}  // namespace titan::components
