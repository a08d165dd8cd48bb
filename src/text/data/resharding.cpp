#include "text/data/resharding.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "text/data/dealing.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

using protocols::StreamPosition;
using protocols::UnitRange;
using Hands = std::vector<std::vector<UnitRange>>;  // one per rank

bool is_empty(const UnitRange& range) {
  return (range.end >= 0 && range.begin >= range.end) ||
         (range.stride > 0 && range.stop >= 0 && range.skip >= range.stop);
}

/// More ranges than this are not made of units that ranks share.
constexpr std::size_t kMostShared = 1 << 16;

/// Deals units of one pass, kind and order.
class Dealer {
 public:
  Dealer(std::int64_t ranks, const UnitFacts& facts)
      : ranks_(ranks), facts_(facts), hands_(static_cast<std::size_t>(ranks)) {}

  /// `is_over` when some rank has come to the end of the pass.
  void deal_units(std::vector<UnitRange> left, bool is_over) {
    like_ = left.front();
    const bool is_document = facts_.is_document(like_.units);
    const bool is_endless =
        std::ranges::any_of(left, [](const UnitRange& range) { return range.end < 0; });
    if (is_endless) {
      const auto count = facts_.count(like_.units, is_over || !is_document);
      for (UnitRange& range : left) {
        if (range.end < 0) range.end = count.value_or(-1);
      }
    }
    if (is_document) {
      deal_documents(left);
    } else {
      deal_shared(left);
    }
  }

  /// What each rank got.
  Hands take() { return std::move(hands_); }

 private:
  /// A document that is read from a piece on is a range of its own.
  void deal_documents(const std::vector<UnitRange>& left) {
    std::vector<Progression> units;
    std::map<std::int64_t, std::int64_t>
        skips;  // of the documents that are not read from the front
    for (const UnitRange& range : left) {
      if (range.skip > 0) skips[range.begin] = range.skip;
      units.push_back({range.begin, range.end, range.step});
    }
    const auto hands = deal(units, ranks_, turn_);
    for (std::size_t rank = 0; rank < hands.size(); ++rank) {
      for (const Progression& part : hands[rank]) {
        add_from(rank, part, skips);
      }
    }
  }

  /// Such documents may stand anywhere in what a rank gets.
  void add_from(std::size_t rank, Progression part,
                const std::map<std::int64_t, std::int64_t>& skips) {
    for (auto at = skips.lower_bound(part.begin); at != skips.end(); ++at) {
      const auto [unit, skip] = *at;
      if (part.end >= 0 && unit >= part.end) break;
      if ((unit - part.begin) % part.step != 0) continue;
      if (unit > part.begin) add(rank, {part.begin, unit, part.step}, 0);
      add(rank, {unit, unit + 1, 1}, skip);
      part.begin = unit + part.step;
    }
    add(rank, part, 0);
  }

  void deal_shared(const std::vector<UnitRange>& left) {
    std::vector<Progression> wholes;
    std::map<std::int64_t, std::vector<Progression>> shared;  // of each unit, its documents
    for (UnitRange range : left) {
      if (range.stride > 0) {
        shared[range.begin].push_back({range.skip, range.stop, range.stride});
        continue;
      }
      if (range.skip > 0) {
        shared[range.begin].push_back({range.skip, -1, 1});
        range.begin += range.step;
      }
      if (range.begin < range.end) wholes.push_back({range.begin, range.end, range.step});
    }
    std::int64_t count = 0;
    for (const Progression& each : wholes) count += count_of(each);
    for (std::int64_t over = count % ranks_; over > 0; --over) {
      Progression& last = wholes.back();
      const std::int64_t unit = last.begin + (count_of(last) - 1) * last.step;
      shared[unit].push_back({0, -1, 1});
      last.end = unit;
      if (count_of(last) == 0) wholes.pop_back();
    }
    share(shared);
    const auto hands = deal(wholes, ranks_, turn_);
    for (std::size_t rank = 0; rank < hands.size(); ++rank) {
      for (const Progression& part : hands[rank]) add(rank, part, 0);
    }
  }

  void share(const std::map<std::int64_t, std::vector<Progression>>& units) {
    const bool are_many = units.size() * hands_.size() > kMostShared;
    std::size_t index = 0;
    for (const auto& [unit, documents] : units) {
      if (are_many) {
        const std::size_t rank = index++ * hands_.size() / units.size();
        for (const Progression& part : documents) add_documents(rank, unit, part);
        continue;
      }
      const auto hands = deal(documents, ranks_, turn_);
      for (std::size_t rank = 0; rank < hands.size(); ++rank) {
        for (const Progression& part : hands[rank]) add_documents(rank, unit, part);
      }
    }
  }

  void add(std::size_t rank, const Progression& units, std::int64_t skip) {
    UnitRange range = like_;
    range.begin = units.begin;
    range.end = units.end;
    range.step = units.step;
    range.skip = skip;
    range.stride = 0;
    range.stop = -1;
    if (!is_empty(range)) hands_[rank].push_back(std::move(range));
  }

  void add_documents(std::size_t rank, std::int64_t unit, const Progression& documents) {
    UnitRange range = like_;
    range.begin = unit;
    range.end = unit + 1;
    range.step = 1;
    range.skip = documents.begin;
    range.stride = documents.step;
    range.stop = documents.end;
    if (!is_empty(range)) hands_[rank].push_back(std::move(range));
  }

  std::int64_t ranks_;
  const UnitFacts& facts_;
  std::int64_t turn_ = 0;
  UnitRange like_;  // has the pass, the kind and the order
  Hands hands_;
};

/// Ranges that are dealt together, in order of passes.
std::vector<std::vector<UnitRange>> group(std::vector<UnitRange> all) {
  std::ranges::stable_sort(all, {}, &UnitRange::pass);
  std::vector<std::vector<UnitRange>> groups;
  for (UnitRange& range : all) {
    const auto same = std::ranges::find_if(groups, [&](const std::vector<UnitRange>& each) {
      const UnitRange& first = each.front();
      return first.pass == range.pass && first.units == range.units && first.order == range.order;
    });
    auto& place = same == groups.end() ? groups.emplace_back() : *same;
    place.push_back(std::move(range));
  }
  return groups;
}

}  // namespace

std::vector<UnitRange> ranges_of(const UnitRange& share, std::int64_t pass) {
  std::vector<UnitRange> ranges = {share};
  ranges.front().pass = pass;
  if (share.stride == 0) return ranges;
  ranges.clear();
  for (std::int64_t unit = share.begin; unit < share.end; ++unit) {
    ranges.push_back(share);
    ranges.back().pass = pass;
    ranges.back().begin = unit;
    ranges.back().end = unit + 1;
  }
  return ranges;
}

std::vector<UnitRange> left_until(const StreamPosition& rank, std::int64_t last_pass) {
  std::vector<UnitRange> left = rank.left;
  for (std::int64_t pass = rank.pass + 1; pass <= last_pass; ++pass) {
    const std::vector<UnitRange> all = ranges_of(rank.share, pass);
    left.insert(left.end(), all.begin(), all.end());
  }
  std::erase_if(left, is_empty);
  return left;
}

std::vector<StreamPosition> reshard(const std::vector<StreamPosition>& old_ranks,
                                    std::int64_t ranks, const UnitFacts& facts) {
  TITAN_CHECK(!old_ranks.empty() && ranks > 0, "nothing to deal, or nobody to deal to");
  const auto new_size = static_cast<std::size_t>(ranks);
  StreamPosition empty;
  empty.data = old_ranks.front().data;
  for (const StreamPosition& rank : old_ranks) empty.pass = std::max(empty.pass, rank.pass);
  std::vector<StreamPosition> result(new_size, empty);

  std::vector<UnitRange> left;
  std::map<std::int64_t, std::size_t> ranks_in;  // so many ranks are not through with a pass
  for (const StreamPosition& rank : old_ranks) {
    const std::vector<UnitRange> of_rank = left_until(rank, empty.pass);
    left.insert(left.end(), of_rank.begin(), of_rank.end());
    std::set<std::int64_t> passes;
    for (const UnitRange& range : of_rank) passes.insert(range.pass);
    for (const std::int64_t pass : passes) ++ranks_in[pass];
  }
  Dealer dealer(ranks, facts);
  for (std::vector<UnitRange>& units : group(std::move(left))) {
    const bool is_over = ranks_in[units.front().pass] < old_ranks.size();
    dealer.deal_units(std::move(units), is_over);
  }
  Hands hands = dealer.take();
  std::int64_t windows = 0;
  std::vector<std::vector<std::int64_t>> carried(new_size);
  for (std::size_t i = 0; i < old_ranks.size(); ++i) {
    auto& tokens = carried[i * new_size / old_ranks.size()];
    const auto& more = old_ranks[i].leftover_tokens;
    tokens.insert(tokens.end(), more.begin(), more.end());
    windows += old_ranks[i].windows;
  }
  for (std::size_t i = 0; i < new_size; ++i) {
    result[i].left = std::move(hands[i]);
    result[i].leftover_tokens = std::move(carried[i]);
    result[i].windows = windows / ranks;
  }
  return result;
}

}  // namespace titan::text
