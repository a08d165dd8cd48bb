// Input: a byte, vocab.json (odd byte) or vocab.txt, a zero byte, merges.txt (none where the byte's
// second bit is not set), a zero byte, a text. Whatever the files say, loading ends in a tokenizer
// or a RunError; the ids it gives can be decoded.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "text/tokenizer/hf_tokenizer.h"
#include "text/tokenizer/vocabulary_files.h"
#include "titan/base/errors.h"

namespace {

std::string_view take_part(std::string_view& input) {
  const std::string_view part = input.substr(0, input.find('\0'));
  input.remove_prefix(std::min(input.size(), part.size() + 1));
  return part;
}

void load_and_use(std::uint8_t choice, std::string_view input) {
  using namespace titan::text;
  const NamedBytes vocabulary{(choice & 1) != 0 ? "vocab.json" : "vocab.txt", take_part(input)};
  const NamedBytes merges{"merges.txt", take_part(input)};
  const HfTokenizer tokenizer(
      parse_vocabulary_files(vocabulary, (choice & 2) != 0 ? std::optional(merges) : std::nullopt),
      TokenizerConfig{});
  const auto ids = tokenizer.encode(input, true, true);
  for (const std::int64_t id : ids)
    if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
  tokenizer.decode(ids, false);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  try {
    load_and_use(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  } catch (const titan::RunError&) {
  }
  return 0;
}
