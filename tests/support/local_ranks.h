#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "titan/comm/groups.h"
#include "titan/comm/local_backend.h"
#include "titan/comm/rank_context.h"

namespace titan::test {

/// Runs `body` as every rank of `world`, which has `ranks` many, each in a thread of its own. A rank
/// that throws ends the others and fails the test.
inline void on_rank_threads(comm::LocalWorld& world, std::int64_t ranks,
                            const std::function<void(std::int64_t rank)>& body) {
  std::vector<std::thread> threads;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(rank);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << rank << ": " << error.what();
        world.abort("another rank failed");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

/// What a rank knows of a job whose groups `backend` makes.
inline comm::RankContext context_of(comm::Backend& backend, const mesh::Degrees& degrees,
                                    std::int64_t rank, std::int64_t ranks) {
  comm::RankContext context;
  context.rank = rank;
  context.world_size = ranks;
  context.dims = mesh::ParallelDims(degrees, ranks);
  context.groups = std::make_shared<comm::Groups>(backend, context.dims, rank,
                                                  std::chrono::seconds(60), nullptr);
  return context;
}

/// The same with the context of a job.
inline void on_local_ranks(const mesh::Degrees& degrees, std::int64_t ranks,
                           const std::function<void(const comm::RankContext&)>& body) {
  comm::LocalWorld world(ranks);
  on_rank_threads(world, ranks, [&](std::int64_t rank) {
    const auto backend = world.backend(rank);
    body(context_of(*backend, degrees, rank, ranks));
  });
}

}  // namespace titan::test
