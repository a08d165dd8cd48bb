#include "text/tokenizer/split_behavior.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "text/tokenizer/regex_parts.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

// A match of the pattern or what lies between two.
struct Part {
  Span span;
  bool is_match;
};

std::vector<Part> merge_parts(std::vector<Part> parts, SplitBehavior behavior) {
  if (behavior == SplitBehavior::kRemoved || behavior == SplitBehavior::kIsolated) return parts;
  const bool backwards = behavior == SplitBehavior::kMergedWithNext;
  if (backwards) std::reverse(parts.begin(), parts.end());
  std::vector<Part> merged;
  bool last_was_match = false;
  for (const Part& part : parts) {
    const bool joins = behavior == SplitBehavior::kContiguous ? part.is_match == last_was_match
                                                              : part.is_match && !last_was_match;
    last_was_match = part.is_match;
    if (!joins || merged.empty()) {
      merged.push_back(part);
    } else if (backwards) {
      merged.back().span.begin = part.span.begin;
    } else {
      merged.back().span.end = part.span.end;
    }
  }
  if (backwards) std::reverse(merged.begin(), merged.end());
  return merged;
}

}  // namespace

SplitBehavior read_split_behavior(const JsonPlace& place) {
  static constexpr std::pair<std::string_view, SplitBehavior> kBehaviors[] = {
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  const auto known = std::find_if(std::begin(kBehaviors), std::end(kBehaviors),
                                  [&](const auto& pair) { return pair.first == place.text(); });
  if (known == std::end(kBehaviors)) place.fail(concat("unknown behavior '", place.text(), "'"));
  return known->second;
}

void split_by_pattern(const Regex& pattern, SplitBehavior behavior, bool invert,
                      std::string_view text, RegexWorkspace& workspace,
                      const std::function<void(std::string_view)>& on_piece) {
  const auto keep = [&](Span span) {
    if (span.begin < span.end) on_piece(text.substr(span.begin, span.end - span.begin));
  };
  if (behavior == SplitBehavior::kIsolated)
    return for_each_part(pattern, text, workspace, [&](Span span, bool) { keep(span); });
  if (behavior == SplitBehavior::kRemoved) {
    return for_each_part(pattern, text, workspace, [&](Span span, bool is_match) {
      if (is_match == invert) keep(span);
    });
  }
  std::vector<Part> parts;
  for_each_part(pattern, text, workspace, [&](Span span, bool is_match) {
    parts.push_back({span, is_match != invert});
  });
  for (const Part& part : merge_parts(std::move(parts), behavior)) keep(part.span);
}

}  // namespace titan::text
