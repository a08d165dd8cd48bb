#include "titan/tools/launch_ranks.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <set>

#include "titan/base/errors.h"
#include "titan/base/patience.h"
#include "titan/tools/cores.h"
#include "titan/tools/signals.h"
#include "tools/rank_process.h"

namespace titan::tools {
namespace {

constexpr std::chrono::seconds kTimeToEnd(5);             // after another rank has failed
constexpr std::chrono::seconds kTimeToFollow(30);         // after another has stopped as asked
constexpr std::chrono::seconds kTimeToObey(3);            // after the second request to stop
constexpr std::chrono::seconds kTimeToOutlive(120);       // after another has ended well
constexpr std::chrono::milliseconds kTimeToDrain(1'000);  // what outlived the ranks holds a pipe
constexpr std::chrono::milliseconds kNoLimit(-1);         // of poll

/// A port that was free. While this lives, the system hands it out to no other process; one that asks for it by number and
/// says SO_REUSEADDR, as the rank does that serves the store, may listen there: this socket does not.
class ReservedPort {
 public:
  ReservedPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    const int yes = 1;
    if (!socket_.is_open() ||
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        ::bind(socket_.get(), generic, size) != 0 ||
        ::getsockname(socket_.get(), generic, &size) != 0) {
      throw RunError(concat("no free port for the ranks to meet at: ", std::strerror(errno)));
    }
    number_ = ntohs(address.sin_port);
  }

  std::uint16_t number() const { return number_; }

 private:
  const base::Descriptor socket_;
  std::uint16_t number_ = 0;
};

/// 128 bits that nobody can guess, as hexadecimal digits.
std::string random_secret() {
  std::random_device entropy;
  std::array<char, 9> digits;
  std::string secret;
  for (int word = 0; word < 4; ++word) {
    std::snprintf(digits.data(), digits.size(), "%08x", entropy());
    secret += digits.data();
  }
  return secret;
}

/// While it lives, the signals that matter come as data, not as interruptions.
class SignalInbox {
 public:
  SignalInbox() {
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int signal : {SIGCHLD, SIGUSR1}) sigaddset(&wanted, signal);
    for (const int signal : stop_signals()) sigaddset(&wanted, signal);
    ::sigprocmask(SIG_BLOCK, &wanted, &previous_);
    inbox_ = base::Descriptor(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!inbox_.is_open()) throw RunError(concat("no signalfd: ", std::strerror(errno)));
    previous_pipe_ = ::signal(SIGPIPE, SIG_IGN);
  }
  ~SignalInbox() {
    ::signal(SIGPIPE, previous_pipe_);
    ::sigprocmask(SIG_SETMASK, &previous_, nullptr);
  }
  SignalInbox(const SignalInbox&) = delete;
  SignalInbox& operator=(const SignalInbox&) = delete;

  int descriptor() const { return inbox_.get(); }

  std::optional<int> next() {
    signalfd_siginfo info;
    if (::read(inbox_.get(), &info, sizeof(info)) != sizeof(info)) return std::nullopt;
    return static_cast<int>(info.ssi_signo);
  }

 private:
  sigset_t previous_;
  void (*previous_pipe_)(int) = SIG_DFL;
  base::Descriptor inbox_;
};

class RankLauncher {
 public:
  explicit RankLauncher(const RankLaunch& launch) {
    const std::set<std::int64_t> shown = parse_log_ranks(launch.log_ranks);
    RankProcess::Setup setup;
    setup.command = launch.command;
    setup.names_output = shown.size() > 1;
    setup.environment = {{"MASTER_ADDR", "127.0.0.1"},
                         {"MASTER_PORT", std::to_string(port_.number())},
                         {"WORLD_SIZE", std::to_string(launch.ranks)},
                         {"LOCAL_WORLD_SIZE", std::to_string(launch.ranks)},
                         {"GROUP_RANK", "0"}};
    const char* secret = std::getenv("TITAN_JOB_SECRET");
    if (secret == nullptr || *secret == '\0') {
      setup.environment["TITAN_JOB_SECRET"] = random_secret();
    }
    if (std::getenv("OMP_NUM_THREADS") == nullptr) {
      const std::int64_t threads = std::max<std::int64_t>(1, usable_cores() / launch.ranks);
      setup.environment["OMP_NUM_THREADS"] = std::to_string(threads);
    }
    for (std::int64_t rank = 0; rank < launch.ranks; ++rank) {
      setup.rank = rank;
      setup.shows_output = shown.contains(rank);
      setup.environment["RANK"] = setup.environment["LOCAL_RANK"] = std::to_string(rank);
      ranks_.push_back(std::make_unique<RankProcess>(setup));
    }
  }

  int wait() {
    while (any_running()) {
      step(patience_ ? patience_->until_next_question() : kNoLimit);
      if (patience_ && patience_->is_over()) {
        patience_.reset();
        send(SIGKILL);
      }
    }
    base::Patience drain(kTimeToDrain);
    while (any_open() && !drain.is_over()) step(drain.until_next_question());
    return conclude();
  }

 private:
  bool any_running() const {
    return std::ranges::any_of(ranks_, [](const auto& rank) { return rank->running(); });
  }

  bool any_open() const {
    return std::ranges::any_of(ranks_, [](const auto& rank) {
      return rank->output().is_open() || rank->errors().is_open();
    });
  }

  void step(std::chrono::milliseconds limit) {
    std::vector<pollfd> waited = {{signals_.descriptor(), POLLIN, 0}};
    for (const auto& rank : ranks_) {
      waited.push_back({rank->output().get(), POLLIN, 0});  // a closed one is -1: skipped
      waited.push_back({rank->errors().get(), POLLIN, 0});
    }
    ::poll(waited.data(), waited.size(), static_cast<int>(limit.count()));
    for (const auto& rank : ranks_) {
      rank->read_output();
      rank->read_errors();
    }
    while (const std::optional<int> signal = signals_.next()) handle(*signal);
  }

  void handle(int signal) {
    if (signal == SIGCHLD) {
      for (const auto& rank : ranks_) {
        if (rank->reap()) bury(*rank);
      }
      return;
    }
    // Who asks twice does not want to wait: a rank that is stopped hears no request. A scheduler that
    // warned and now asks has asked once, and a save may be under way.
    if (signal == SIGINT || signal == SIGTERM) {
      if (asked_to_stop_.contains(SIGINT) || asked_to_stop_.contains(SIGTERM)) {
        patience_.emplace(kTimeToObey);
      }
    }
    if (signal != SIGUSR1) asked_to_stop_.insert(signal);
    send(signal);
  }

  void bury(const RankProcess& rank) {
    if (!rank.failed()) {
      // Ranks end together: one that outlives the others for long will not end.
      if (!patience_) patience_.emplace(kTimeToOutlive);
      return;
    }
    rank.send(SIGKILL);  // what it has started
    if (failed_ != nullptr) return;
    const bool as_asked = asked_to_stop_.contains(rank.exit_status() - 128);
    if (as_asked) {
      stopped_ = &rank;
      if (!patience_) patience_.emplace(kTimeToFollow);
      return;
    }
    failed_ = &rank;
    send(SIGTERM);
    patience_.emplace(kTimeToEnd);
  }

  void send(int signal) const {
    for (const auto& rank : ranks_) {
      if (rank->running()) rank->send(signal);
    }
  }

  int conclude() const {
    if (failed_ == nullptr) return stopped_ == nullptr ? 0 : stopped_->exit_status();
    std::fflush(stdout);
    std::fprintf(stderr, "titan_train: %s\n", failed_->epitaph().c_str());
    return failed_->exit_status();
  }

  SignalInbox signals_;
  const ReservedPort port_;  // where the ranks meet
  std::vector<std::unique_ptr<RankProcess>> ranks_;
  std::set<int> asked_to_stop_;  // by these signals
  const RankProcess* failed_ = nullptr;
  const RankProcess* stopped_ = nullptr;
  std::optional<base::Patience> patience_;
};

}  // namespace

std::set<std::int64_t> parse_log_ranks(const std::string& text) {
  std::set<std::int64_t> ranks;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    std::int64_t rank = 0;
    const auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, rank);
    if (error != std::errc() || stop != text.data() + end || rank < 0) {
      throw ConfigError(
          "environment variable LOG_RANK: must be a list of ranks such as 0,2, not '" +
          text.substr(0, 80) + "'");
    }
    ranks.insert(rank);
    begin = end + 1;
  }
  return ranks;
}

int launch_ranks(const RankLaunch& launch) {
  TITAN_CHECK(!launch.command.empty() && launch.ranks > 0, "nothing to launch");
  return RankLauncher(launch).wait();
}

}  // namespace titan::tools
