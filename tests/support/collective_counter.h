#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "support/local_ranks.h"
#include "titan/comm/collective_observer.h"

namespace titan::test {

/// Counts the collectives of a rank by operation, and what it gives to them.
class CollectiveCounter : public comm::CollectiveObserver {
 public:
  std::int64_t calls(const std::string& operation) const { return at(calls_, operation); }
  std::int64_t bytes(const std::string& operation) const { return at(bytes_, operation); }
  void reset() {
    calls_.clear();
    bytes_.clear();
  }

  std::uint64_t started(const comm::CollectiveCall& call) override {
    ++calls_[std::string(call.operation)];
    bytes_[std::string(call.operation)] += call.bytes;
    return 0;
  }
  void finished(std::uint64_t) override {}
  std::string explain(std::uint64_t, const comm::CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }

 private:
  using Numbers = std::map<std::string, std::int64_t>;
  static std::int64_t at(const Numbers& numbers, const std::string& operation) {
    const auto found = numbers.find(operation);
    return found == numbers.end() ? 0 : found->second;
  }

  Numbers calls_;
  Numbers bytes_;
};

/// As on_local_ranks, and what each rank sends is counted.
inline void on_counted_ranks(
    const mesh::Degrees& degrees, std::int64_t ranks,
    const std::function<void(const comm::RankContext&, CollectiveCounter&)>& body) {
  comm::LocalWorld world(ranks);
  on_rank_threads(world, ranks, [&](std::int64_t rank) {
    const auto backend = world.backend(rank);
    CollectiveCounter counter;
    comm::RankContext context;
    context.rank = rank;
    context.world_size = ranks;
    context.dims = mesh::ParallelDims(degrees, ranks);
    context.groups = std::make_shared<comm::Groups>(*backend, context.dims, rank,
                                                    std::chrono::seconds(60), &counter);
    body(context, counter);
  });
}

}  // namespace titan::test
