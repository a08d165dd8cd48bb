#include "components/tokenizer/byte_pair_encoder.h"

#include <algorithm>
#include <utility>

#include "components/tokenizer/byte_alphabet.h"

namespace titan::components {
namespace {

// Up to here scanning an array for the lowest rank beats a heap.
constexpr std::size_t kShortWord = 48;
constexpr std::int32_t kNone = -1;

}  // namespace

BytePairEncoder::BytePairEncoder(const Vocabulary& vocabulary, MergeTable merges, Options options)
    : vocabulary_(vocabulary), merges_(std::move(merges)), options_(options) {
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    std::string character;
    append_byte_characters({&text, 1}, character);
    id_of_byte_[byte] = vocabulary.find(character);
  }
}

void BytePairEncoder::encode(std::string_view word, Workspace& workspace,
                             std::vector<TokenId>& ids) const {
  if (options_.ignore_merges) {
    workspace.characters_.clear();
    append_byte_characters(word, workspace.characters_);
    if (const auto id = vocabulary_.find(workspace.characters_)) {
      ids.push_back(*id);
      return;
    }
  }
  workspace.ids_.clear();
  split_into_bytes(word, workspace.ids_);
  if (workspace.ids_.size() <= kShortWord) {
    merge_short(workspace);
  } else {
    merge_long(workspace);
  }
  ids.insert(ids.end(), workspace.ids_.begin(), workspace.ids_.end());
}

void BytePairEncoder::split_into_bytes(std::string_view word, std::vector<TokenId>& ids) const {
  bool last_was_unknown = false;
  for (const char byte : word) {
    const auto id = id_of_byte_[static_cast<unsigned char>(byte)];
    if (id) {
      ids.push_back(*id);
    } else if (options_.unknown && !(options_.fuse_unknown && last_was_unknown)) {
      ids.push_back(*options_.unknown);
    }
    last_was_unknown = !id;
  }
}

void BytePairEncoder::merge_short(Workspace& workspace) const {
  auto& ids = workspace.ids_;
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
void BytePairEncoder::merge_long(Workspace& workspace) const {
  auto& symbols = workspace.symbols_;
  auto& candidates = workspace.candidates_;
  const auto count = static_cast<std::int32_t>(workspace.ids_.size());
  symbols.clear();
  candidates.clear();
  for (std::int32_t i = 0; i < count; ++i) {
    symbols.push_back({workspace.ids_[i], i - 1, i + 1 < count ? i + 1 : kNone, false});
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
  workspace.ids_.clear();
  for (std::int32_t i = count > 0 ? 0 : kNone; i != kNone; i = symbols[i].next) {
    workspace.ids_.push_back(symbols[i].id);
  }
}

void BytePairEncoder::propose(Workspace& workspace, std::int32_t left) const {
  const auto& symbols = workspace.symbols_;
  const Merge merge = merges_.find(symbols[left].id, symbols[symbols[left].next].id);
  if (merge.rank == Merge::kNever) return;
  workspace.candidates_.push_back(
      {std::uint64_t{merge.rank} << 32 | static_cast<std::uint32_t>(left), merge.result});
  std::push_heap(workspace.candidates_.begin(), workspace.candidates_.end());
}

}  // namespace titan::components
