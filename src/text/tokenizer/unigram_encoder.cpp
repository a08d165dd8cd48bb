#include "text/tokenizer/unigram_encoder.h"

#include <algorithm>
#include <utility>

#include "text/tokenizer/byte_tokens.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr double kUnknownPenalty = 10;

std::size_t count_bytes(const Vocabulary& vocabulary) {
  std::size_t bytes = 0;
  for (TokenId id = 0; id < vocabulary.id_limit(); ++id) bytes += vocabulary.token(id)->size();
  return bytes;
}

}  // namespace

UnigramEncoder::UnigramEncoder(const Vocabulary& vocabulary, std::vector<double> scores,
                               Options options)
    : vocabulary_(vocabulary),
      scores_(std::move(scores)),
      options_(options),
      trie_(count_bytes(vocabulary)) {
  TITAN_CHECK(!scores_.empty() && scores_.size() == vocabulary.id_limit(),
              "every token has a score");
  for (TokenId id = 0; id < vocabulary.id_limit(); ++id) {
    const std::string_view token = *vocabulary.token(id);
    if (!token.empty()) trie_.add(token, id);
  }
  unknown_score_ = *std::min_element(scores_.begin(), scores_.end()) - kUnknownPenalty;
}

void UnigramEncoder::encode(std::string_view word, Workspace& workspace,
                            std::vector<TokenId>& ids) const {
  find_best_ends(word, workspace);
  const auto& best = workspace.best_ends;
  auto& cuts = workspace.cuts;
  cuts.clear();
  // From the end to the front; unknown tokens next to each other are one piece.
  bool last_was_unknown = false;
  for (std::size_t end = word.size(); end > 0; end = best[end].begin) {
    const bool is_unknown = options_.unknown && best[end].id == *options_.unknown;
    if (!is_unknown || !last_was_unknown) cuts.push_back(end);
    last_was_unknown = is_unknown;
  }
  std::size_t begin = 0;
  for (auto end = cuts.rbegin(); end != cuts.rend(); ++end) {
    append(word.substr(begin, *end - begin), ids);
    begin = *end;
  }
}

void UnigramEncoder::find_best_ends(std::string_view word, Workspace& workspace) const {
  auto& best = workspace.best_ends;
  best.assign(word.size() + 1, {});
  const auto propose = [&](std::size_t begin, std::size_t end, TokenId id, double score) {
    Workspace::End& old = best[end];
    if (old.is_reached && score <= old.score) return;
    old = {.score = score, .begin = begin, .id = id, .is_reached = true};
  };
  for (std::size_t begin = 0; begin < word.size();) {
    const double so_far = best[begin].score;
    const std::size_t character = decode_utf8(word.substr(begin, 4)).length;
    bool has_character = false;
    ByteTrie::Node node = ByteTrie::kRoot;
    for (std::size_t at = begin; at < word.size(); ++at) {
      node = trie_.step(node, word[at]);
      if (node == ByteTrie::kRoot) break;
      const auto id = trie_.id(node);
      if (!id) continue;
      has_character = has_character || at + 1 - begin == character;
      propose(begin, at + 1, *id, scores_[*id] + so_far);
    }
    if (!has_character) {
      propose(begin, begin + character, unknown_for(word.substr(begin, character)),
              unknown_score_ + so_far);
    }
    begin += character;
  }
}

TokenId UnigramEncoder::unknown_for(std::string_view piece) const {
  if (options_.unknown) return *options_.unknown;
  throw RunError(
      concat("the vocabulary has no '", piece, "', and no unknown token that would stand for it"));
}

void UnigramEncoder::append(std::string_view piece, std::vector<TokenId>& ids) const {
  if (const auto id = vocabulary_.find(piece)) {
    ids.push_back(*id);
    return;
  }
  const std::size_t before = ids.size();
  bool has_bytes = options_.byte_fallback;
  for (std::size_t i = 0; has_bytes && i < piece.size(); ++i) {
    const auto id = vocabulary_.find(byte_token(static_cast<unsigned char>(piece[i])));
    has_bytes = id.has_value();
    if (id) ids.push_back(*id);
  }
  if (has_bytes) return;
  ids.resize(before);
  ids.push_back(unknown_for(piece));
}

}  // namespace titan::text
