#include "text/tokenizer/unigram_encoder.h"

#include <algorithm>
#include <limits>

#include "text/tokenizer/utf8.h"

namespace titan::text {
namespace {

using PieceType = SentencePieceModel::PieceType;

constexpr float kUnknownPenalty = 10.0f;
// Sums of scores start over from 0 where they fall below this, before they lose precision.
constexpr float kRebaseBelow = -100000.0f;
constexpr std::uint32_t kNowhere = 0xFFFFFFFF;

}  // namespace

UnigramEncoder::UnigramEncoder(const SentencePieceModel& model)
    : trie_(make_piece_trie(model, /*user_defined_only=*/false)),
      unknown_(model.unknown),
      scores_(model.scores),
      lowest_(std::numeric_limits<float>::max()) {
  for (TokenId id = 0; id < scores_.size(); ++id) {
    if (model.types[id] == PieceType::kNormal) lowest_ = std::min(lowest_, scores_[id]);
    // Scores of normal pieces are logarithms of probabilities, below 0: a piece of the user wins.
    if (model.types[id] == PieceType::kUserDefined)
      scores_[id] = 0.1f * static_cast<float>(model.pieces[id].size() - 1);
  }
}

void UnigramEncoder::offer(Workspace::Node& node, float score, std::uint32_t begin, TokenId id) {
  if (node.begin != kNowhere && !(score > node.score)) return;
  node = {id, begin, score};
}

void UnigramEncoder::encode(std::string_view text, Workspace& workspace, std::vector<TokenId>& ids,
                            std::vector<std::uint32_t>& ends) const {
  auto& nodes = workspace.nodes_;
  nodes.assign(text.size() + 1, {0, kNowhere, 0});
  std::size_t furthest = 0;  // the last node that a path has reached
  const float unknown_score = lowest_ - kUnknownPenalty;
  for (std::size_t begin = 0; begin < text.size();) {
    if (nodes[begin].score < kRebaseBelow) {
      const float base = nodes[begin].score;
      for (std::size_t i = begin; i <= furthest; ++i) nodes[i].score -= base;
    }
    const float before = nodes[begin].score;
    const char* next = text.data() + begin;
    next_code_point(next);
    const auto character_end = static_cast<std::size_t>(next - text.data());
    bool has_character = false;
    PieceTrie::Node node = PieceTrie::kRoot;
    for (std::size_t at = begin; at < text.size();) {
      node = trie_.step(node, static_cast<unsigned char>(text[at++]));
      if (node == PieceTrie::kNoNode) break;
      const TokenId id = trie_.value(node);
      if (id == PieceTrie::kNoValue) continue;
      offer(nodes[at], scores_[id] + before, static_cast<std::uint32_t>(begin), id);
      furthest = std::max(furthest, at);
      has_character = has_character || at == character_end;
    }
    furthest = std::max(furthest, character_end);
    if (!has_character) {
      offer(nodes[character_end], unknown_score + before, static_cast<std::uint32_t>(begin),
            unknown_);
    }
    begin = character_end;
  }
  const auto first = static_cast<std::ptrdiff_t>(ids.size());
  for (auto end = static_cast<std::uint32_t>(text.size()); end > 0; end = nodes[end].begin) {
    ids.push_back(nodes[end].id);
    ends.push_back(end);
  }
  std::reverse(ids.begin() + first, ids.end());
  std::reverse(ends.begin() + first, ends.end());
}

}  // namespace titan::text
