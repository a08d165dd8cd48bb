#include "text/data/resharding.h"

#include <algorithm>
#include <numeric>

#include "titan/base/errors.h"

namespace titan::text {
namespace {

using protocols::StreamPosition;
using protocols::UnitRange;

bool is_empty(const UnitRange& range) { return range.end >= 0 && range.begin >= range.end; }

/// All that the ranks have left of the passes up to `last_pass`, earlier passes first.
std::vector<UnitRange> left_until(const std::vector<StreamPosition>& ranks,
                                  std::int64_t last_pass) {
  std::vector<UnitRange> all;
  for (const StreamPosition& rank : ranks) {
    all.insert(all.end(), rank.left.begin(), rank.left.end());
    for (std::int64_t pass = rank.pass + 1; pass <= last_pass; ++pass) {
      all.push_back(rank.share);
      all.back().pass = pass;
    }
  }
  std::erase_if(all, is_empty);
  std::ranges::stable_sort(all, {}, &UnitRange::pass);
  return all;
}

/// Every `count`-th unit of the range, from its `index`-th on.
UnitRange part_of(const UnitRange& range, std::int64_t index, std::int64_t count) {
  UnitRange part = range;
  part.begin += index * range.step;
  part.step *= count;
  part.skip = index == 0 ? range.skip : 0;
  return part;
}

}  // namespace

std::vector<StreamPosition> reshard(const std::vector<StreamPosition>& old_ranks,
                                    std::int64_t ranks) {
  TITAN_CHECK(!old_ranks.empty() && ranks > 0, "nothing to deal, or nobody to deal to");
  const auto new_size = static_cast<std::size_t>(ranks);
  StreamPosition empty;
  empty.data = old_ranks.front().data;
  for (const StreamPosition& rank : old_ranks) empty.pass = std::max(empty.pass, rank.pass);
  std::vector<StreamPosition> result(new_size, empty);

  const std::vector<UnitRange> left = left_until(old_ranks, empty.pass);
  const std::int64_t parts = left.empty() ? 1 : ranks / std::gcd(ranks, std::ssize(left));
  const std::size_t all_parts = left.size() * static_cast<std::size_t>(parts);
  for (std::size_t i = 0; i < all_parts; ++i) {
    const auto part = static_cast<std::int64_t>(i) % parts;
    const UnitRange range = part_of(left[i / static_cast<std::size_t>(parts)], part, parts);
    if (!is_empty(range)) result[i * new_size / all_parts].left.push_back(range);
  }
  std::int64_t windows = 0;
  for (std::size_t i = 0; i < old_ranks.size(); ++i) {
    auto& tokens = result[i * new_size / old_ranks.size()].leftover_tokens;
    const auto& more = old_ranks[i].leftover_tokens;
    tokens.insert(tokens.end(), more.begin(), more.end());
    windows += old_ranks[i].windows;
  }
  for (StreamPosition& rank : result) rank.windows = windows / ranks;
  return result;
}

}  // namespace titan::text
