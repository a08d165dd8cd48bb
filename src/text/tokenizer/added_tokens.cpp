#include "text/tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "text/tokenizer/unicode_sets.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

// A character of a word, as \w in Rust's regex crate.
bool is_word_character(std::string_view character) {
  static const Regex word(R"([\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200c}\x{200d}\x{24b6}-\x{24e9})"
                          R"(\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}])");
  if (character.empty()) return false;
  RegexWorkspace workspace;
  Span match;
  return word.search(character, 0, workspace, match);
}

}  // namespace

AddedToken AddedToken::read(const JsonPlace& place, AddedToken defaults) {
  AddedToken token;
  token.content = place.at("content").text();
  token.single_word = place.flag_or("single_word", defaults.single_word);
  token.lstrip = place.flag_or("lstrip", defaults.lstrip);
  token.rstrip = place.flag_or("rstrip", defaults.rstrip);
  token.normalized = place.flag_or("normalized", defaults.normalized);
  token.special = place.flag_or("special", defaults.special);
  return token;
}

void AddedTokens::add(const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    if (token.special) special_contents_.insert(token.content);
    auto known = find(token.content);
    if (known && by_id_.at(*known) == token) continue;
    if (!known) known = vocabulary_.find(token.content);
    const TokenId id = known ? *known : next_id();
    if (!known && vocabulary_.token(id)) {
      throw RunError(concat("the added token '", token.content, "' gets the next id, ", id,
                            ", which the vocabulary uses: its ids have gaps"));
    }
    if (id >= kMaxTokenIds)
      throw RunError(concat("no id is left for the added token '", token.content, "'"));
    ids_[token.content] = id;
    by_id_[id] = token;
  }
  rebuild_matchers();
}

TokenId AddedTokens::next_id() const {
  const auto vocabulary_size = static_cast<TokenId>(vocabulary_.size());
  return std::max(vocabulary_size, id_limit());
}

void AddedTokens::rebuild_matchers() {
  std::vector<TokenMatcher::Entry> raw, normalized;
  std::unordered_set<std::string> seen;
  Normalizer::Workspace workspace;
  normalized_texts_.clear();
  for (const auto& [id, token] : by_id_) {
    if (!token.normalized) {
      raw.push_back({token.content, id});
      continue;
    }
    std::string content(normalizer_.apply(token.content, workspace));
    if (content.empty()) {
      throw RunError(concat("not available in this build yet: the added token '", token.content,
                            "', of which the normalizer leaves nothing"));
    }
    if (!seen.insert(content).second) {
      throw RunError(
          concat("not available in this build yet: two added tokens that the normalizer "
                 "makes equal to '",
                 content, "'"));
    }
    normalized_texts_[id] = content;
    normalized.push_back({std::move(content), id});
  }
  raw_matcher_ = TokenMatcher(std::move(raw));
  normalized_matcher_ = TokenMatcher(std::move(normalized));
}

std::optional<TokenId> AddedTokens::find(std::string_view content) const {
  const auto found = ids_.find(std::string(content));
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

std::optional<std::string_view> AddedTokens::text(TokenId id) const {
  if (const auto found = normalized_texts_.find(id); found != normalized_texts_.end())
    return found->second;
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  return found->second.content;
}

void AddedTokens::split_raw(std::string_view text, std::vector<Piece>& pieces) const {
  pieces.clear();
  split_by(raw_matcher_, text, pieces);
}

void AddedTokens::split_normalized(std::string_view text, std::vector<Piece>& pieces) const {
  pieces.clear();
  split_by(normalized_matcher_, text, pieces);
}

void AddedTokens::split_by(const TokenMatcher& matcher, std::string_view text,
                           std::vector<Piece>& pieces) const {
  std::size_t covered = 0;
  std::size_t from = 0;
  while (const auto match = matcher.find(text, from)) {
    from = match->end;
    const AddedToken& token = by_id_.at(match->id);
    auto [begin, end, id] = *match;
    if (token.single_word &&
        (is_word_character(last_character(text.substr(0, begin))) ||
         is_word_character(text.substr(end, decode_utf8(text.substr(end)).length)))) {
      continue;
    }
    if (token.lstrip)
      begin = std::max(begin - trailing_white_space(text.substr(0, begin)), covered);
    if (token.rstrip) end += leading_white_space(text.substr(end));
    if (covered < begin) pieces.push_back({text.substr(covered, begin - covered), std::nullopt});
    pieces.push_back({text.substr(begin, end - begin), id});
    covered = end;
  }
  if (covered < text.size()) pieces.push_back({text.substr(covered), std::nullopt});
}

}  // namespace titan::text
