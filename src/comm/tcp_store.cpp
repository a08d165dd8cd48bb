#include "titan/comm/tcp_store.h"

#include <unistd.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <future>
#include <stdexcept>
#include <thread>
#include <utility>

#include "comm/error_reason.h"
#include "comm/job_secret.h"
#include "comm/loopback_listener.h"
#include "comm/roll_call.h"
#include "titan/base/errors.h"
#include "titan/base/patience.h"
#include "titan/tools/logging.h"

namespace titan::comm {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kShortestPause = std::chrono::milliseconds(1);
constexpr auto kLongestPause = std::chrono::milliseconds(64);

/// With a secret every value is behind a seal of its key and itself: what a stranger has written counts as
/// not written. Numbers (`add`) are protected by their keys alone, which a stranger does not know.
class TcpStore : public Store {
 public:
  TcpStore(c10::intrusive_ptr<c10d::Store> store, std::string place, JobSecret secret)
      : store_(std::move(store)), place_(std::move(place)), secret_(std::move(secret)) {}

  void set(const std::string& key, const std::string& value) override {
    const std::string sealed = seal(key, value) + value;
    guarded([&] {
      store_->set(key, std::vector<std::uint8_t>(sealed.begin(), sealed.end()));
      return 0;
    });
  }

  std::optional<std::string> find(const std::string& key) override {
    const std::optional<std::string> sealed = guarded([&]() -> std::optional<std::string> {
      if (!store_->check({key})) return std::nullopt;
      const std::vector<std::uint8_t> value = store_->get(key);  // keys are never deleted
      return std::string(value.begin(), value.end());
    });
    return sealed ? opened(key, *sealed) : std::nullopt;
  }

  // Asks again and again: a request that waits in the server would keep other threads from theirs.
  std::string wait(const std::string& key, std::chrono::milliseconds timeout) override {
    base::Patience patience(timeout);
    auto pause = kShortestPause;
    while (true) {
      if (std::optional<std::string> value = find(key)) return *std::move(value);
      if (patience.is_over()) {
        throw RunError(concat("nobody set '", key, "' in the store at ", place_, " within ",
                              timeout.count(), " ms"));
      }
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, kLongestPause);
    }
  }

  std::int64_t add(const std::string& key, std::int64_t amount) override {
    return guarded([&] { return store_->add(key, amount); });
  }

 private:
  std::string seal(const std::string& key, const std::string& value) const {
    return secret_.is_set() ? secret_.seal(concat(key.size(), ":", key, value)) : std::string();
  }

  std::optional<std::string> opened(const std::string& key, const std::string& sealed) const {
    if (!secret_.is_set()) return sealed;
    std::string value = sealed.substr(std::min(sealed.size(), JobSecret::kSealSize));
    if (same_seal(sealed.substr(0, JobSecret::kSealSize), seal(key, value))) return value;
    tools::warn_once(
        "somebody who does not know this job's secret (TITAN_JOB_SECRET) writes into "
        "its store; that is ignored");
    return std::nullopt;
  }

  template <class Request>
  auto guarded(const Request& request) -> decltype(request()) {
    try {
      return request();
    } catch (const std::exception& error) {
      throw RunError(concat("the store at ", place_,
                            " is gone; has rank 0 or its launcher ended? (", reason_of(error),
                            ")"));
    }
  }

  c10::intrusive_ptr<c10d::Store> store_;
  std::string place_;
  JobSecret secret_;
};

std::string place_of(const tools::LaunchEnvironment& launch) {
  const bool colons = launch.master_address.find(':') != std::string::npos;
  return concat(colons ? "[" : "", launch.master_address, colons ? "]:" : ":", launch.master_port);
}

using OpenedStore = c10::intrusive_ptr<c10d::Store>;

/// TCPStore's constructor, which waits for ever where somebody takes the connection and says nothing:
/// then its thread is left behind, as the program is about to end.
OpenedStore connect(const std::string& host, const c10d::TCPStoreOptions& options) {
  auto promise = std::make_shared<std::promise<OpenedStore>>();
  std::future<OpenedStore> opened = promise->get_future();
  std::thread([promise, host, options] {
    try {
      promise->set_value(c10::make_intrusive<c10d::TCPStore>(host, options));
    } catch (...) {
      promise->set_exception(std::current_exception());
    }
  }).detach();
  // Its own time-out comes first, and a little later than asked for.
  if (opened.wait_for(options.timeout + std::chrono::seconds(5)) != std::future_status::ready) {
    throw std::runtime_error("what answers there is no store");
  }
  return opened.get();
}

/// This rank's connection, and the server where this rank is to serve.
OpenedStore open_store(const tools::LaunchEnvironment& launch, bool serve,
                       std::chrono::milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = launch.master_port;
  options.isServer = serve;
  options.waitWorkers = false;  // the roll call says who is missing
  options.timeout = timeout;
  try {
    base::Descriptor listener;
    if (serve && launch.on_one_machine()) {
      listener = loopback_listener(launch.master_address, launch.master_port);
    }
    if (listener.is_open()) options.masterListenFd = listener.release();  // the server closes it
    return connect(launch.master_address, options);
  } catch (const std::exception& error) {
    const std::string why = reason_of(error);
    if (options.isServer && why.find("EADDRINUSE") != std::string::npos) {
      throw RunError(concat("port ", launch.master_port,
                            " is taken on this machine: another job may use it. Choose a free"
                            " MASTER_PORT"));
    }
    throw RunError(concat("rank ", launch.rank,
                          options.isServer ? " cannot serve" : " cannot reach", " the store at ",
                          place_of(launch), " (MASTER_ADDR and MASTER_PORT) within ",
                          std::chrono::duration<double>(timeout).count(),
                          " s. Does rank 0 run, and may this machine connect to it? (", why, ")"));
  }
}

/// Keys of one start of a job: after a restart torchrun may show the same store again. Who does not know
/// the secret does not know the keys.
std::string key_prefix(const tools::LaunchEnvironment& launch, const JobSecret& secret) {
  const std::string start =
      launch.agent_store ? concat("/worker/attempt_", launch.restart_count) : "titan_train";
  return secret.is_set() ? concat(start, "/", secret.seal("keys")) : start;
}

std::unique_ptr<Store> open(const tools::LaunchEnvironment& launch, bool serve,
                            std::chrono::milliseconds timeout) {
  JobSecret secret(launch.secret);
  auto keys = c10::make_intrusive<c10d::PrefixStore>(key_prefix(launch, secret),
                                                     open_store(launch, serve, timeout));
  return std::make_unique<TcpStore>(std::move(keys), place_of(launch), std::move(secret));
}

}  // namespace

std::unique_ptr<Store> connect_store(const tools::LaunchEnvironment& launch,
                                     std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  std::unique_ptr<Store> store = open(launch, launch.rank == 0 && !launch.agent_store, timeout);
  const Attendee me{launch.rank, launch.world_size,
                    concat("process ", getpid(), " on ", launch.host), !launch.secret.empty()};
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  call_roll(*store, me, std::max(left, std::chrono::milliseconds(0)));
  return store;
}

std::unique_ptr<Store> connect_again(const tools::LaunchEnvironment& launch,
                                     std::chrono::milliseconds timeout) {
  return open(launch, /*serve=*/false, timeout);
}

}  // namespace titan::comm
