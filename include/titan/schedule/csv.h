#pragma once

#include <string>
#include <string_view>

#include "titan/schedule/schedule.h"

namespace titan::schedule {

/// One line per rank, its actions with commas between, as torch.distributed.pipelining writes and reads them.
std::string to_csv(const Schedule& schedule);

/// Reads it; empty cells (bubbles) say nothing. Throws ConfigError that names line and cell, for text that is no
/// action, another number of lines than `placement` has ranks, and what `problems_of` finds. What `lower`
/// adds may be there: it is left out, and added anew.
Schedule from_csv(std::string_view text, const Placement& placement, std::int64_t microbatches);

}  // namespace titan::schedule
