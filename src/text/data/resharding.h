#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "titan/protocols/data_loader.h"

namespace titan::text {

/// What dealing anew asks about the units of a source.
struct UnitFacts {
  /// How many there are; nothing when that is not known, unless `at_any_cost`.
  std::function<std::optional<std::int64_t>(const std::string& units, bool at_any_cost)> count;
  /// Whether a unit is one document and so cannot be shared.
  std::function<bool(const std::string& units)> is_document;
};

/// Deals what the ranks of a run had left of a source to `ranks` ranks, so that together they read
/// every document once and carry every leftover token: the ranks that are behind first finish the
/// passes that others have begun, then passes are shared anew. `old_ranks` are the positions of one
/// source on all ranks, in order; not empty.
///
/// Every rank gets as much of a pass as the others, so that all come to its end together, however often
/// it was dealt: as many units, or one more. Units of several documents (files, blocks) are shared
/// where they have been begun or are too few to go round: every rank then reads every n-th document.
std::vector<protocols::StreamPosition> reshard(
    const std::vector<protocols::StreamPosition>& old_ranks, std::int64_t ranks,
    const UnitFacts& facts);

/// What is read of a rank's share in a pass: the share, or where ranks share units, each of them.
std::vector<protocols::UnitRange> ranges_of(const protocols::UnitRange& share, std::int64_t pass);

/// All that `rank` is to read of the passes up to `last_pass`, as it would have gone on: earlier passes
/// first.
std::vector<protocols::UnitRange> left_until(const protocols::StreamPosition& rank,
                                             std::int64_t last_pass);

}  // namespace titan::text
