#include "app/rank_threads.h"

#include <ATen/Parallel.h>
#include <c10/core/AutogradState.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "titan/base/errors.h"
#include "titan/tools/environment_variable.h"
#include "titan/tools/launch_ranks.h"
#include "titan/tools/logging.h"

namespace titan::app {

namespace {

/// Keeps what the first rank to fail threw.
class FirstFailure {
 public:
  void record(std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(failure);
  }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace

void run_rank_threads(const JobSetup& setup, const std::function<void(JobRank&)>& body) {
  const std::int64_t seed = seed_of(setup.config);
  const std::set<std::int64_t> shown =
      tools::parse_log_ranks(tools::environment_variable("LOG_RANK").value_or("0"));
  const int cores = std::max<int>(1, at::get_num_threads() / static_cast<int>(setup.world_size));
  comm::LocalWorld world(setup.world_size);
  FirstFailure first_failure;
  const auto run = [&](std::int64_t number) {
    const tools::RankLog log(number, shown.contains(number));
    at::set_num_threads(cores);  // of this thread
    const c10::DeviceGuard current_device(setup.device);
    // Autograd has one thread for a device: ranks that share it would wait there for one another.
    c10::AutogradState::get_tls_state().set_multithreading_enabled(false);
    try {
      const auto rank = thread_rank(setup, world, number, seed);
      body(*rank);
    } catch (const std::exception& error) {
      first_failure.record(std::current_exception());
      world.abort(concat("rank ", number, " has failed: ", error.what()));
    }
  };
  std::vector<std::thread> threads;
  try {
    for (std::int64_t number = 0; number < setup.world_size; ++number) {
      threads.emplace_back(run, number);
    }
  } catch (const std::system_error& error) {
    const std::string why = concat("no thread to be had for rank ", threads.size(), " of ",
                                   setup.world_size, ": ", error.code().message());
    first_failure.record(std::make_exception_ptr(RunError(why)));
    world.abort(why);
  }
  for (std::thread& thread : threads) thread.join();
  first_failure.rethrow();
}

}  // namespace titan::app
