#pragma once

#include <chrono>
#include <functional>

#include "titan/comm/collective_observer.h"
#include "titan/comm/rank_context.h"

namespace titan::test::rehearsal {

/// Who is told of every collective of a job's ranks, and how long each may take.
struct Watched {
  std::function<comm::CollectiveObserver*(std::int64_t rank)> observer;
  std::chrono::milliseconds timeout{std::chrono::seconds(60)};
};

/// Runs `body` as every rank of a job, in a thread and on a device each: rank r on "rehearsal:(first_device + r)".
/// A rank that throws ends the others and fails the test.
void on_devices(const mesh::Degrees& degrees, std::int64_t ranks,
                const std::function<void(const comm::RankContext&)>& body, int first_device = 0,
                const Watched& watched = {});

}  // namespace titan::test::rehearsal
