#include "titan/protocols/encode_text.h"

#include "titan/protocols/tokenizer.h"

namespace titan::protocols {

std::vector<std::int64_t> encode_text(const Tokenizer& tokenizer, std::string_view text,
                                      bool begins, bool ends) {
  std::vector<std::int64_t> ids = tokenizer.encode(text, begins, ends);
  const auto bos = tokenizer.bos_id();
  const auto eos = tokenizer.eos_id();
  // What a tokenizer writes around everything it does not write again when asked to. Anything else is
  // the text's own.
  const auto is_always_there = [&](bool is_bos) {
    return tokenizer.encode("", is_bos, !is_bos).size() ==
           tokenizer.encode("", false, false).size();
  };
  // One token for both that stands alone is the one that was asked for.
  if ((begins || ends) && ids.size() == 1 && bos == eos) return ids;
  if (!ends && !ids.empty() && ids.back() == eos && is_always_there(false)) ids.pop_back();
  if (!begins && !ids.empty() && ids.front() == bos && is_always_there(true))
    ids.erase(ids.begin());
  return ids;
}

}  // namespace titan::protocols
