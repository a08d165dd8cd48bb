#pragma once

#include <cstdint>
#include <memory>

#include "titan/comm/local_backend.h"
#include "titan/comm/rank_context.h"
#include "titan/comm/store.h"
#include "titan/config/job_config.h"
#include "titan/tools/launch_environment.h"
#include "titan/watch/watch.h"

namespace titan::app {

/// One rank of a job, with everything its context points to. Stays where it was made.
struct JobRank {
  std::shared_ptr<comm::Store> store;  // null where there is nobody to tell
  std::unique_ptr<comm::Backend> backend;
  std::unique_ptr<titan::watch::Watch> watch;
  std::unique_ptr<comm::CollectiveObserver> host_observer;
  std::unique_ptr<comm::Backend> host_backend;  // where `backend` is a GPU's
  std::unique_ptr<comm::ProcessGroup> host_group;
  comm::RankContext context;
};

/// What all ranks of a job have in common.
struct JobSetup {
  const config::JobConfig& config;
  std::int64_t world_size = 1;
  at::Device device = at::kCPU;
  tools::LaunchEnvironment launch;
};

/// The seed of the config, else one drawn from the system's entropy, which is logged so that the run
/// can be repeated.
std::int64_t seed_of(const config::JobConfig& config);

/// The only rank of its job.
std::unique_ptr<JobRank> lone_rank(const JobSetup& setup);
/// The rank that a launcher made this process: meets the others at the launcher's address, sees that
/// all have the same config, and makes the groups. Throws ConfigError, RunError.
std::unique_ptr<JobRank> launched_rank(const JobSetup& setup);
/// Rank 0 of a job whose other ranks do not exist.
std::unique_ptr<JobRank> pretended_rank(const JobSetup& setup);
/// A rank that is the calling thread. All threads get the same seed.
std::unique_ptr<JobRank> thread_rank(const JobSetup& setup, comm::LocalWorld& world,
                                     std::int64_t rank, std::int64_t seed);

}  // namespace titan::app
