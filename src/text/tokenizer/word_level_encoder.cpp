#include "text/tokenizer/word_level_encoder.h"

#include "titan/base/errors.h"

namespace titan::text {

void WordLevelEncoder::encode(std::string_view word, Workspace&, std::vector<TokenId>& ids) const {
  constexpr std::size_t kShown = 60;
  if (const auto id = vocabulary_.find(word)) {
    ids.push_back(*id);
  } else if (unknown_id_) {
    ids.push_back(*unknown_id_);
  } else {
    throw RunError(concat("the word '", word.substr(0, kShown), word.size() > kShown ? "..." : "",
                          "' is not in the vocabulary, nor is '", unknown_,
                          "', which would stand for it"));
  }
}

}  // namespace titan::text
