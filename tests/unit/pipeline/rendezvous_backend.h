#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/errors.h"
#include "titan/comm/process_group.h"

namespace titan::pipeline::test {

/// Where ranks that are threads hand messages over: nothing is kept on the way.
class Rendezvous {
 public:
  /// A message that somebody waits for.
  struct Awaited {
    at::Tensor into;
    bool here = false;
  };

  std::shared_ptr<Awaited> await(std::int64_t from, std::int64_t to, const at::Tensor& into) {
    const std::lock_guard lock(mutex_);
    auto awaited = std::make_shared<Awaited>(Awaited{into});
    awaited_[{from, to}].push_back(awaited);
    changed_.notify_all();
    return awaited;
  }

  /// Returns when the receiver has it. Throws RunError when it never asks.
  void give(std::int64_t from, std::int64_t to, const at::Tensor& tensor) {
    std::unique_lock lock(mutex_);
    std::list<std::shared_ptr<Awaited>>& asked = awaited_[{from, to}];
    wait(lock, "nobody receives a message", [&] { return !asked.empty(); });
    asked.front()->into.copy_(tensor);
    asked.front()->here = true;
    asked.pop_front();
    changed_.notify_all();
  }

  void take(const Awaited& awaited) {
    std::unique_lock lock(mutex_);
    wait(lock, "nobody sends a message", [&] { return awaited.here; });
  }

 private:
  template <class Condition>
  void wait(std::unique_lock<std::mutex>& lock, const char* error, const Condition& condition) {
    if (!changed_.wait_for(lock, std::chrono::seconds(20), condition)) throw RunError(error);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::list<std::shared_ptr<Awaited>>> awaited_;
};

/// Messages only; a send does not return before its peer has asked for it and has it.
class RendezvousGroup : public comm::ProcessGroup {
 public:
  RendezvousGroup(Rendezvous& rendezvous, std::string name, std::vector<std::int64_t> ranks,
                  std::int64_t rank, comm::CollectiveObserver* observer)
      : ProcessGroup(std::move(name), std::move(ranks), rank, observer), rendezvous_(rendezvous) {}
  void set_timeout(std::chrono::milliseconds) override {}

 protected:
  class Received : public comm::BackendWork {
   public:
    Received(Rendezvous& rendezvous, std::vector<std::shared_ptr<Rendezvous::Awaited>> awaited)
        : rendezvous_(rendezvous), awaited_(std::move(awaited)) {}
    void wait() override {
      for (const auto& each : awaited_) rendezvous_.take(*each);
    }

   private:
    Rendezvous& rendezvous_;
    std::vector<std::shared_ptr<Rendezvous::Awaited>> awaited_;
  };

  StartedWork do_exchange(const std::vector<comm::Message>& messages) override {
    std::vector<std::shared_ptr<Rendezvous::Awaited>> awaited;
    for (const auto& [tensor, peer, direction] : messages) {
      if (direction == comm::Message::Direction::kReceive) {
        awaited.push_back(rendezvous_.await(peer, rank(), tensor));
      }
    }
    for (const auto& [tensor, peer, direction] : messages) {
      if (direction == comm::Message::Direction::kSend) rendezvous_.give(rank(), peer, tensor);
    }
    return std::make_unique<Received>(rendezvous_, std::move(awaited));
  }

  StartedWork do_all_reduce(const at::Tensor&, comm::ReduceOp) override { return none(); }
  StartedWork do_all_gather(const at::Tensor&, const at::Tensor&) override { return none(); }
  StartedWork do_reduce_scatter(const at::Tensor&, const at::Tensor&) override { return none(); }
  StartedWork do_all_to_all(const at::Tensor&, const at::Tensor&, const std::vector<std::int64_t>&,
                            const std::vector<std::int64_t>&) override {
    return none();
  }
  StartedWork do_broadcast(const at::Tensor&, std::int64_t) override { return none(); }
  StartedWork do_barrier() override { return none(); }

 private:
  [[noreturn]] static StartedWork none() { throw InternalError("only messages are sent here"); }

  Rendezvous& rendezvous_;
};

/// One rank's.
class RendezvousBackend : public comm::Backend {
 public:
  RendezvousBackend(Rendezvous& rendezvous, std::int64_t rank)
      : rendezvous_(rendezvous), rank_(rank) {}
  std::string_view name() const override { return "rendezvous"; }
  std::unique_ptr<comm::ProcessGroup> make_group(const std::string& name,
                                                 const std::vector<std::int64_t>& ranks,
                                                 std::chrono::milliseconds,
                                                 comm::CollectiveObserver* observer) override {
    return std::make_unique<RendezvousGroup>(rendezvous_, name, ranks, rank_, observer);
  }

 private:
  Rendezvous& rendezvous_;
  std::int64_t rank_;
};

}  // namespace titan::pipeline::test
