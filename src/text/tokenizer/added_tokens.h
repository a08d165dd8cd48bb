#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "text/tokenizer/json_place.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/token_matcher.h"
#include "text/tokenizer/vocabulary.h"

namespace titan::text {

/// A token that is recognised in the text before the model sees it.
struct AddedToken {
  std::string content;
  bool single_word = false;  // not next to a letter, digit or the like
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // and behind it
  bool normalized = true;    // recognised after the others, in normalized text
  bool special = false;      // left out of decoded text

  bool operator==(const AddedToken&) const = default;

  /// Reads an entry of /added_tokens, or of tokenizer_config.json's added_tokens_decoder.
  static AddedToken read(const JsonPlace& place, AddedToken defaults);
};

/// The added tokens of a tokenizer, with the rules of the `tokenizers` package: one that the
/// vocabulary has keeps that id, another gets the next free one; one that is added again keeps its
/// id and gets the new flags; one that was special stays so.
class AddedTokens {
 public:
  /// Both must outlive this.
  AddedTokens(const Vocabulary& vocabulary, const Normalizer& normalizer)
      : vocabulary_(vocabulary), normalizer_(normalizer) {}

  void add(const std::vector<AddedToken>& tokens);

  /// The id of an added token.
  std::optional<TokenId> find(std::string_view content) const;
  /// The text of the added token with that id, as the normalizer leaves it where the token is
  /// `normalized`: what decoding gives. Nothing when there is none.
  std::optional<std::string_view> text(TokenId id) const;
  bool is_special(std::string_view content) const {
    return special_contents_.contains(std::string(content));
  }
  /// One more than the largest id of an added token; 0 without any.
  TokenId id_limit() const { return by_id_.empty() ? 0 : by_id_.rbegin()->first + 1; }

  struct Piece {
    std::string_view text;
    std::optional<TokenId> id;  // nothing: ordinary text
  };
  /// Replaces `pieces` by `text` cut at the added tokens in it that are not `normalized`.
  void split_raw(std::string_view text, std::vector<Piece>& pieces) const;
  /// The same for those that are, whose contents the normalizer has rewritten too.
  void split_normalized(std::string_view text, std::vector<Piece>& pieces) const;

 private:
  TokenId next_id() const;
  void rebuild_matchers();
  void split_by(const TokenMatcher& matcher, std::string_view text,
                std::vector<Piece>& pieces) const;

  const Vocabulary& vocabulary_;
  const Normalizer& normalizer_;
  std::map<TokenId, AddedToken> by_id_;
  std::map<TokenId, std::string> normalized_texts_;
  std::unordered_map<std::string, TokenId> ids_;
  std::unordered_set<std::string> special_contents_;
  TokenMatcher raw_matcher_;
  TokenMatcher normalized_matcher_;
};

}  // namespace titan::text
