#include "text/tokenizer/word_piece_encoder.h"

#include <algorithm>
#include <utility>

#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace

WordPieceEncoder::WordPieceEncoder(const Vocabulary& vocabulary, Options options)
    : vocabulary_(vocabulary),
      options_(std::move(options)),
      unknown_(vocabulary.find(options_.unknown)) {
  for (TokenId id = 0; id < vocabulary.id_limit(); ++id) {
    if (const auto token = vocabulary.token(id))
      longest_token_ = std::max(longest_token_, token->size());
  }
}

void WordPieceEncoder::encode(std::string_view word, Workspace& workspace,
                              std::vector<TokenId>& ids) const {
  const std::size_t before = ids.size();
  if (count_characters(word) <= options_.max_characters && append_pieces(word, workspace, ids))
    return;
  ids.resize(before);
  if (!unknown_) {
    throw RunError(concat("the word '", word.substr(0, 60),
                          "' is not made of tokens of the vocabulary, which lacks '",
                          options_.unknown, "', too"));
  }
  ids.push_back(*unknown_);
}

bool WordPieceEncoder::append_pieces(std::string_view word, Workspace& workspace,
                                     std::vector<TokenId>& ids) const {
  std::string& piece = workspace.characters;
  for (std::size_t begin = 0; begin < word.size();) {
    const std::string_view prefix = begin == 0 ? std::string_view() : options_.prefix;
    std::string_view rest = word.substr(begin, longest_token_);
    while (!is_utf8(rest)) rest.remove_suffix(1);
    std::optional<TokenId> id;
    for (; !rest.empty(); rest.remove_suffix(last_character(rest).size())) {
      piece.assign(prefix).append(rest);
      if ((id = vocabulary_.find(piece))) break;
    }
    if (!id) return false;
    ids.push_back(*id);
    begin += rest.size();
  }
  return true;
}

}  // namespace titan::text
