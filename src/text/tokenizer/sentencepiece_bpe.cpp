#include "text/tokenizer/sentencepiece_bpe.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "text/tokenizer/metaspace.h"
#include "text/tokenizer/sentencepiece_normalizer.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

using PieceType = SentencePieceModel::PieceType;

// All ways to cut a piece in two are looked up when a model is loaded.
constexpr std::size_t kMaxPiece = 256;
constexpr TokenId kNoSymbol = 0xFFFFFFFF;

// The offsets of the characters of `text` but the first.
std::vector<std::size_t> inner_boundaries(std::string_view text) {
  std::vector<std::size_t> offsets;
  for (std::size_t i = 1; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) offsets.push_back(i);
  return offsets;
}

char32_t first_character(std::string_view text) {
  const char* at = text.data();
  return next_code_point(at);
}

// Pieces with equal scores have equal ranks, the highest score 0.
std::vector<std::uint32_t> rank_scores(const SentencePieceModel& model) {
  std::vector<float> distinct = model.scores;
  std::sort(distinct.begin(), distinct.end(), std::greater<>());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::vector<std::uint32_t> ranks;
  for (const float score : model.scores) {
    const auto at = std::lower_bound(distinct.begin(), distinct.end(), score, std::greater<>());
    ranks.push_back(static_cast<std::uint32_t>(at - distinct.begin()));
  }
  return ranks;
}

}  // namespace

// Collects symbols and merges before the table of merges, whose size it must know, is made.
struct SentencePieceBpe::Builder {
  explicit Builder(SentencePieceBpe& owner)
      : bpe(owner),
        model(owner.model_),
        trie(make_piece_trie(owner.model_, /*user_defined_only=*/false)) {}

  SentencePieceBpe& bpe;
  const SentencePieceModel& model;
  PieceTrie trie;
  struct Entry {
    TokenId left, right, result;
  };
  std::vector<Entry> merges;

  TokenId add_symbol(TokenId id, std::size_t bytes) {
    bpe.symbols_.push_back({id, static_cast<std::uint32_t>(bytes)});
    return static_cast<TokenId>(bpe.symbols_.size() - 1);
  }

  TokenId find(std::string_view text) const {
    PieceTrie::Node node = PieceTrie::kRoot;
    for (const char c : text) {
      node = trie.step(node, static_cast<unsigned char>(c));
      if (node == PieceTrie::kNoNode) return kNoSymbol;
    }
    const TokenId id = trie.value(node);
    return id == PieceTrie::kNoValue ? kNoSymbol : id;
  }

  // A piece, or a character that is none.
  TokenId symbol_of(std::string_view text) {
    if (const TokenId id = find(text); id != kNoSymbol) return id;
    if (!inner_boundaries(text).empty()) return kNoSymbol;
    const auto [at, is_new] = bpe.characters_.try_emplace(first_character(text), 0);
    if (is_new) at->second = add_symbol(model.unknown, 0);
    return at->second;
  }

  void add_piece(TokenId id) {
    const std::string_view piece = model.pieces[id];
    const auto boundaries = inner_boundaries(piece);
    if (boundaries.empty()) {
      // Also one that merging cannot produce: text that is a character goes by its name.
      bpe.characters_[first_character(piece)] = id;
      return;
    }
    if (!model.is_producible(id)) return;
    if (piece.size() > kMaxPiece) {
      throw RunError(concat("not available in this build yet: a piece of ", piece.size(),
                            " bytes in a BPE model (", model.path, ")"));
    }
    for (const std::size_t at : boundaries) {
      const TokenId left = symbol_of(piece.substr(0, at));
      const TokenId right = symbol_of(piece.substr(at));
      if (left != kNoSymbol && right != kNoSymbol) merges.push_back({left, right, id});
      if (piece.substr(at).starts_with(kBlankMark) && !piece.substr(0, at).ends_with(kBlankMark))
        bpe.may_cut_before_metaspace_ = false;
    }
  }

  MergeTable take_merges() const {
    const auto ranks = rank_scores(model);
    MergeTable table(merges.size());
    for (const Entry& merge : merges)
      table.set(merge.left, merge.right, {ranks[merge.result], merge.result});
    return table;
  }
};

SentencePieceBpe::SentencePieceBpe(const SentencePieceModel& model, const PieceTrie& user_defined)
    : model_(model), user_defined_(user_defined), merger_(MergeTable(0)) {
  may_cut_before_metaspace_ = true;
  Builder builder(*this);
  for (TokenId id = 0; id < model.pieces.size(); ++id) {
    if (model.types[id] == PieceType::kUnused) {
      throw RunError(concat("not available in this build yet: unused pieces in a BPE model (",
                            model.path, ")"));
    }
    builder.add_symbol(id, model.pieces[id].size());
  }
  other_character_ = builder.add_symbol(model.unknown, 0);
  frozen_.assign(model.pieces.size(), kNoSymbol);
  for (TokenId id = 0; id < model.pieces.size(); ++id) builder.add_piece(id);
  for (TokenId id = 0; id < model.pieces.size(); ++id) {
    if (model.types[id] == PieceType::kUserDefined)
      frozen_[id] = builder.add_symbol(id, model.pieces[id].size());
  }
  merger_ = PairMerger(builder.take_merges());
}

void SentencePieceBpe::encode(std::string_view text, Workspace& workspace,
                              std::vector<TokenId>& ids, std::vector<std::uint32_t>& ends) const {
  workspace.symbols_.clear();
  std::size_t begin = 0;
  if (may_cut_before_metaspace_) {
    for (std::size_t at = 0; (at = text.find(kBlankMark, at)) != std::string_view::npos;
         at += kBlankMark.size()) {
      if (at == begin || text.substr(0, at).ends_with(kBlankMark)) continue;
      encode_word(text.substr(begin, at - begin), workspace);
      begin = at;
    }
  }
  if (begin < text.size()) encode_word(text.substr(begin), workspace);
  const char* at = text.data();
  for (const TokenId symbol : workspace.symbols_) {
    const auto [id, bytes] = symbols_[symbol];
    if (bytes == 0) {
      next_code_point(at);
    } else {
      at += bytes;
    }
    ids.push_back(id);
    ends.push_back(static_cast<std::uint32_t>(at - text.data()));
  }
}

void SentencePieceBpe::encode_word(std::string_view word, Workspace& workspace) const {
  auto& all = workspace.symbols_;
  const std::uint64_t hash = word.size() > WordCache::kMaxWord ? 0 : hash_bytes(word);
  if (word.size() <= WordCache::kMaxWord) {
    const auto remembered = workspace.cache_.find(word, hash);
    if (!remembered.empty()) {
      all.insert(all.end(), remembered.begin(), remembered.end());
      return;
    }
  }
  workspace.word_.clear();
  split(word, workspace.word_);
  merger_.merge(workspace.word_, workspace.merger_);
  all.insert(all.end(), workspace.word_.begin(), workspace.word_.end());
  workspace.cache_.remember(word, hash, workspace.word_);
}

void SentencePieceBpe::split(std::string_view word, std::vector<TokenId>& symbols) const {
  for (const char *at = word.data(), *end = at + word.size(); at != end;) {
    const std::string_view rest(at, static_cast<std::size_t>(end - at));
    if (const auto found = longest_match(user_defined_, rest); found.bytes > 0) {
      symbols.push_back(frozen_[found.value]);
      at += found.bytes;
      continue;
    }
    const auto known = characters_.find(next_code_point(at));
    symbols.push_back(known == characters_.end() ? other_character_ : known->second);
  }
}

}  // namespace titan::text
