#include "titan/parallel/recompute_plan.h"

#include <algorithm>
#include <numeric>

#include "titan/base/errors.h"

namespace titan::parallel {

namespace {

/// A block's table of the knapsack has at most so many columns.
constexpr std::int64_t kMostColumns = 1 << 14;

/// Sizes are counted in units of this: their common divisor, or as coarse as the table must be.
std::int64_t unit_of(const std::vector<Recomputable>& results) {
  std::int64_t divisor = 0;
  std::int64_t sum = 0;
  for (const Recomputable& result : results) {
    divisor = std::gcd(divisor, result.bytes);
    sum += result.bytes;
  }
  return std::max<std::int64_t>({1, divisor, (sum + kMostColumns - 1) / kMostColumns});
}

}  // namespace

std::vector<bool> choose_kept(const std::vector<Recomputable>& results, std::int64_t most_bytes) {
  TITAN_CHECK(most_bytes >= 0, "a negative budget: ", most_bytes);
  const std::int64_t unit = unit_of(results);
  std::int64_t all = 0;
  std::vector<std::int64_t> sizes;  // in units, rounded up
  for (const Recomputable& result : results) {
    sizes.push_back((result.bytes + unit - 1) / unit);
    all += sizes.back();
  }
  const std::int64_t room = std::min(most_bytes / unit, all);
  const auto columns = static_cast<std::size_t>(room + 1);

  // saved[w]: the most seconds with at most w units of the results so far; takes[i][w]: whether result i is among them.
  std::vector<double> saved(columns, 0);
  std::vector<std::vector<bool>> takes(results.size(), std::vector<bool>(columns, false));
  for (std::size_t i = 0; i < results.size(); ++i) {
    for (std::int64_t w = room; w >= sizes[i]; --w) {
      const double with = saved[static_cast<std::size_t>(w - sizes[i])] + results[i].seconds;
      double& best = saved[static_cast<std::size_t>(w)];
      if (with <= best) continue;
      best = with;
      takes[i][static_cast<std::size_t>(w)] = true;
    }
  }
  // The least room that saves as much.
  std::int64_t w = room;
  while (w > 0 && saved[static_cast<std::size_t>(w - 1)] == saved[static_cast<std::size_t>(room)])
    --w;
  std::vector<bool> kept(results.size(), false);
  for (std::size_t i = results.size(); i-- > 0;) {
    if (!takes[i][static_cast<std::size_t>(w)]) continue;
    kept[i] = true;
    w -= sizes[i];
  }
  return kept;
}

Trade trade_of(const std::vector<Recomputable>& results, const std::vector<bool>& kept) {
  Trade trade;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (kept[i]) {
      trade.kept_bytes += results[i].bytes;
    } else {
      trade.seconds_again += results[i].seconds;
    }
  }
  return trade;
}

}  // namespace titan::parallel
