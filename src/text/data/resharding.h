#pragma once

#include <cstdint>
#include <vector>

#include "titan/protocols/data_loader.h"

namespace titan::text {

/// Deals what the ranks of a run had left of a source to `ranks` ranks, so that together they read
/// every document once and carry every leftover token: the ranks that are behind first finish the
/// passes that others have begun, then passes are shared anew. `old_ranks` are the positions of one
/// source on all ranks, in order; not empty.
///
/// Every range is cut into as many interleaved parts as make the parts divisible by `ranks`, so
/// that the cut needs no knowledge of where the data ends.
std::vector<protocols::StreamPosition> reshard(
    const std::vector<protocols::StreamPosition>& old_ranks, std::int64_t ranks);

}  // namespace titan::text
