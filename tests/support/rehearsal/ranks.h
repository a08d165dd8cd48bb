#pragma once

#include <functional>

#include "titan/comm/rank_context.h"

namespace titan::test::rehearsal {

/// Runs `body` as every rank of a job, in a thread and on a device each: rank r on "rehearsal:(first_device + r)".
/// A rank that throws ends the others and fails the test.
void on_devices(const mesh::Degrees& degrees, std::int64_t ranks,
                const std::function<void(const comm::RankContext&)>& body, int first_device = 0);

}  // namespace titan::test::rehearsal
