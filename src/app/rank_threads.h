#pragma once

#include <functional>

#include "app/job_rank.h"

namespace titan::app {

/// Runs `body` as every rank of a job, each in a thread of its own (comm.mode = "local_tensor"). The
/// ranks in LOG_RANK (the first, where it is not set) log as usual, the others only warnings. When a
/// rank throws, the others are ended, and its exception is thrown here.
void run_rank_threads(const JobSetup& setup, const std::function<void(JobRank&)>& body);

}  // namespace titan::app
