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

/// Runs `body` as every rank of a job, each in a thread of its own. A rank that throws ends the
/// others and fails the test.
inline void on_local_ranks(const mesh::Degrees& degrees, std::int64_t ranks,
                           const std::function<void(const comm::RankContext&)>& body) {
  comm::LocalWorld world(ranks);
  std::vector<std::thread> threads;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        const auto backend = world.backend(rank);
        comm::RankContext context;
        context.rank = rank;
        context.world_size = ranks;
        context.dims = mesh::ParallelDims(degrees, ranks);
        context.groups = std::make_shared<comm::Groups>(*backend, context.dims, rank,
                                                        std::chrono::seconds(60), nullptr);
        body(context);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << rank << ": " << error.what();
        world.abort("another rank failed");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace titan::test
