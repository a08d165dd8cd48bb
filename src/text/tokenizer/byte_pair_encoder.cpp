#include "text/tokenizer/byte_pair_encoder.h"

#include <utility>

#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/byte_tokens.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {

BytePairEncoder::BytePairEncoder(const Vocabulary& vocabulary, MergeTable merges, Options options)
    : vocabulary_(vocabulary), merger_(std::move(merges)), options_(std::move(options)) {
  TITAN_CHECK(!options_.byte_fallback || !options_.works_on_bytes,
              "the fallback is for characters");
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    std::string character;
    append_byte_characters({&text, 1}, character);
    id_of_byte_[byte] = vocabulary.find(character);
    id_of_last_byte_[byte] = vocabulary.find(character + options_.word_end);
    id_of_fallback_[byte] = vocabulary.find(byte_token(static_cast<unsigned char>(byte)));
  }
}

void BytePairEncoder::encode(std::string_view word, Workspace& workspace,
                             std::vector<TokenId>& ids) const {
  if (options_.ignore_merges) {
    if (const auto id = whole_word(word, workspace)) {
      ids.push_back(*id);
      return;
    }
  }
  auto& symbols = workspace.symbols;
  symbols.clear();
  if (options_.works_on_bytes) {
    split_into_bytes(word, symbols);
  } else {
    split_into_characters(word, symbols);
  }
  merger_.merge(symbols, workspace.merger);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

std::optional<TokenId> BytePairEncoder::whole_word(std::string_view word,
                                                   Workspace& workspace) const {
  if (!options_.works_on_bytes) return vocabulary_.find(word);
  workspace.characters.clear();
  append_byte_characters(word, workspace.characters);
  return vocabulary_.find(workspace.characters);
}

void BytePairEncoder::split_into_bytes(std::string_view word, std::vector<TokenId>& symbols) const {
  bool last_was_unknown = false;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const ByteTable& table = i + 1 == word.size() ? id_of_last_byte_ : id_of_byte_;
    const auto id = table[static_cast<unsigned char>(word[i])];
    if (id) {
      symbols.push_back(*id);
    } else if (options_.unknown && !(options_.fuse_unknown && last_was_unknown)) {
      symbols.push_back(*options_.unknown);
    }
    last_was_unknown = !id;
  }
}

// As in the package, an unknown token waits until the next known character, and bytes that a
// fallback yields meanwhile come before it.
void BytePairEncoder::split_into_characters(std::string_view word,
                                            std::vector<TokenId>& symbols) const {
  bool unknown_waits = false;
  const char* at = word.data();
  const char* const end = at + word.size();
  while (at != end) {
    const char* const begin = at;
    next_code_point(at);
    const std::string_view character(begin, static_cast<std::size_t>(at - begin));
    if (const auto id = character_id(character, at == end)) {
      if (unknown_waits) symbols.push_back(*options_.unknown);
      unknown_waits = false;
      symbols.push_back(*id);
      continue;
    }
    if (options_.byte_fallback && append_fallback(character, at == end, symbols)) continue;
    if (!options_.unknown) continue;
    if (unknown_waits && !options_.fuse_unknown) symbols.push_back(*options_.unknown);
    unknown_waits = true;
  }
  if (unknown_waits) symbols.push_back(*options_.unknown);
}

std::optional<TokenId> BytePairEncoder::character_id(std::string_view character,
                                                     bool is_last) const {
  if (!is_last || options_.word_end.empty()) return vocabulary_.find(character);
  return vocabulary_.find(std::string(character) + options_.word_end);
}

bool BytePairEncoder::append_fallback(std::string_view character, bool is_last,
                                      std::vector<TokenId>& symbols) const {
  const std::size_t before = symbols.size();
  const auto append = [&](std::string_view bytes) {
    for (const char byte : bytes) {
      const auto id = id_of_fallback_[static_cast<unsigned char>(byte)];
      if (!id) return false;
      symbols.push_back(*id);
    }
    return true;
  };
  if (append(character) && (!is_last || append(options_.word_end))) return true;
  symbols.resize(before);
  return false;
}

}  // namespace titan::text
