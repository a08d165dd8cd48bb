#include "text/tokenizer/pair_merger.h"

#include <algorithm>

namespace titan::text {
namespace {

// Up to here scanning an array for the lowest rank beats a heap.
constexpr std::size_t kShortWord = 48;
constexpr std::int32_t kNone = -1;

}  // namespace

void PairMerger::merge(std::vector<TokenId>& symbols, Workspace& workspace) const {
  if (symbols.size() <= kShortWord) {
    merge_short(symbols, workspace);
  } else {
    merge_long(symbols, workspace);
  }
}

void PairMerger::merge_short(std::vector<TokenId>& ids, Workspace& workspace) const {
  if (ids.size() < 2) return;
  // ranks[i] and results[i] describe the merge of ids[i] and ids[i + 1].
  auto& ranks = workspace.ranks_;
  auto& results = workspace.results_;
  std::size_t pairs = ids.size() - 1;
  ranks.resize(pairs);
  results.resize(pairs);
  const auto look_up = [&](std::size_t i) {
    const Merge merge = merges_.find(ids[i], ids[i + 1]);
    ranks[i] = merge.rank;
    results[i] = merge.result;
  };
  for (std::size_t i = 0; i < pairs; ++i) look_up(i);
  while (pairs > 0) {
    const auto lowest = std::min_element(ranks.begin(), ranks.begin() + pairs);
    if (*lowest == Merge::kNever) break;
    const auto at = static_cast<std::size_t>(lowest - ranks.begin());
    ids[at] = results[at];
    ids.erase(ids.begin() + at + 1);
    std::move(ranks.begin() + at + 1, ranks.begin() + pairs, ranks.begin() + at);
    std::move(results.begin() + at + 1, results.begin() + pairs, results.begin() + at);
    --pairs;
    if (at < pairs) look_up(at);
    if (at > 0) look_up(at - 1);
  }
}

// A linked list of symbols and a heap of possible merges. A merge in the heap whose symbols have
// changed since is skipped when it comes up.
void PairMerger::merge_long(std::vector<TokenId>& ids, Workspace& workspace) const {
  auto& symbols = workspace.symbols_;
  auto& candidates = workspace.candidates_;
  const auto count = static_cast<std::int32_t>(ids.size());
  symbols.clear();
  candidates.clear();
  for (std::int32_t i = 0; i < count; ++i) {
    symbols.push_back({ids[i], i - 1, i + 1 < count ? i + 1 : kNone, false});
  }
  for (std::int32_t i = 0; i + 1 < count; ++i) propose(workspace, i);
  while (!candidates.empty()) {
    std::pop_heap(candidates.begin(), candidates.end());
    const auto candidate = candidates.back();
    candidates.pop_back();
    const auto at = static_cast<std::int32_t>(candidate.order & 0xFFFFFFFF);
    auto& left = symbols[at];
    if (left.absorbed || left.next == kNone) continue;
    auto& right = symbols[left.next];
    const Merge merge = merges_.find(left.id, right.id);
    if (merge.rank == Merge::kNever || merge.result != candidate.result) continue;
    left.id = merge.result;
    right.absorbed = true;
    left.next = right.next;
    if (left.next != kNone) {
      symbols[left.next].previous = at;
      propose(workspace, at);
    }
    if (left.previous != kNone) propose(workspace, left.previous);
  }
  ids.clear();
  for (std::int32_t i = count > 0 ? 0 : kNone; i != kNone; i = symbols[i].next) {
    ids.push_back(symbols[i].id);
  }
}

void PairMerger::propose(Workspace& workspace, std::int32_t left) const {
  const auto& symbols = workspace.symbols_;
  const Merge merge = merges_.find(symbols[left].id, symbols[symbols[left].next].id);
  if (merge.rank == Merge::kNever) return;
  workspace.candidates_.push_back(
      {std::uint64_t{merge.rank} << 32 | static_cast<std::uint32_t>(left), merge.result});
  std::push_heap(workspace.candidates_.begin(), workspace.candidates_.end());
}

}  // namespace titan::text
