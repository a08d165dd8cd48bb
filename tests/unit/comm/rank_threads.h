#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "titan/comm/fake_backend.h"
#include "titan/comm/gloo_backend.h"
#include "titan/comm/local_backend.h"
#include "titan/comm/tcp_store.h"

namespace titan::comm::test {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

/// Long enough for a busy machine; no test waits for it to pass.
inline constexpr std::chrono::milliseconds kPatience = 120s;

enum class Kind { kLocal, kGloo, kGlooOverTcp };

/// A TCP socket at a port that was free.
class PortHolder {
 public:
  enum class Use {
    kListens,   // nobody else can
    kReserves,  // a store can listen there; the system hands the port out to no other program
  };
  explicit PortHolder(Use use = Use::kListens) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    const int reserves = use == Use::kReserves ? 1 : 0;
    EXPECT_EQ(setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &reserves, sizeof(reserves)), 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    socklen_t length = sizeof(address);
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(socket_, raw, length), 0);
    EXPECT_TRUE(reserves != 0 || listen(socket_, 1) == 0);
    EXPECT_EQ(getsockname(socket_, raw, &length), 0);
    port_ = ntohs(address.sin_port);
  }
  ~PortHolder() { release(); }
  PortHolder(const PortHolder&) = delete;
  PortHolder& operator=(const PortHolder&) = delete;

  std::uint16_t port() const { return port_; }
  void release() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }

 private:
  int socket_;
  std::uint16_t port_ = 0;
};

/// Stays this program's until it ends.
inline std::uint16_t free_port() {
  static std::deque<PortHolder> reserved;
  return reserved.emplace_back(PortHolder::Use::kReserves).port();
}

inline tools::LaunchEnvironment launch_of(std::int64_t rank, std::int64_t world_size,
                                          std::uint16_t port) {
  tools::LaunchEnvironment launch;
  launch.rank = rank;
  launch.world_size = world_size;
  launch.local_rank = rank;
  launch.local_world_size = world_size;
  launch.master_address = "127.0.0.1";
  launch.master_port = port;
  launch.host = "here";
  return launch;
}

/// Runs `body(rank)` for every rank in a thread of its own; the first exception fails the test.
inline void on_threads(std::int64_t ranks, const std::function<void(std::int64_t)>& body) {
  std::vector<std::thread> threads;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(rank);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << rank << ": " << error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

/// Runs `body(rank, backend)` as every rank of a world of one kind. Gloo's ranks meet in a store in
/// memory, and talk as those of one machine do.
inline void on_ranks(Kind kind, std::int64_t ranks,
                     const std::function<void(std::int64_t, Backend&)>& body) {
  LocalWorld world(ranks);
  on_threads(ranks, [&](std::int64_t rank) {
    const auto backend =
        kind == Kind::kLocal
            ? world.backend(rank)
            : make_gloo_backend(world.store(), launch_of(rank, ranks, 0),
                                kind == Kind::kGloo ? Carrier::kMemory : Carrier::kSockets);
    body(rank, *backend);
  });
}

/// `on_ranks` with one group of all ranks.
inline void in_world(Kind kind, std::int64_t ranks,
                     const std::function<void(ProcessGroup&)>& body) {
  on_ranks(kind, ranks, [&](std::int64_t, Backend& backend) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(ranks));
    std::iota(all.begin(), all.end(), 0);
    body(*backend.make_group("world", all, kPatience, nullptr));
  });
}

}  // namespace titan::comm::test
