#pragma once

#include <functional>
#include <string_view>

#include "text/tokenizer/json_place.h"
#include "text/tokenizer/regex.h"

namespace titan::text {

/// What becomes of the matches of a pattern that text is split by.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// Reads a behavior by its name. Throws RunError.
SplitBehavior read_split_behavior(const JsonPlace& place);

/// Calls `on_piece` for the pieces of `text`, in order. `invert`: what lies between the matches counts
/// as the match.
void split_by_pattern(const Regex& pattern, SplitBehavior behavior, bool invert,
                      std::string_view text, RegexWorkspace& workspace,
                      const std::function<void(std::string_view)>& on_piece);

}  // namespace titan::text
