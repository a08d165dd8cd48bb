#pragma once

#include "support/local_ranks.h"
#include "titan/comm/gloo_backend.h"
#include "titan/tools/launch_environment.h"

namespace titan::test {

/// As `on_local_ranks`, but what ranks exchange goes through memory that they share, as between the processes of a machine.
inline void on_memory_ranks(const mesh::Degrees& degrees, std::int64_t ranks,
                            const std::function<void(const comm::RankContext&)>& body) {
  comm::LocalWorld world(ranks);
  on_rank_threads(world, ranks, [&](std::int64_t rank) {
    tools::LaunchEnvironment launch;
    launch.rank = rank;
    launch.world_size = ranks;
    launch.local_rank = rank;
    launch.local_world_size = ranks;
    launch.host = "here";
    const auto backend = comm::make_gloo_backend(world.store(), launch, comm::Carrier::kMemory);
    body(context_of(*backend, degrees, rank, ranks));
  });
}

}  // namespace titan::test
