// Input: the size of a text in two bytes (little-endian), the text, a SentencePiece model. Whatever
// the model says, loading and encoding end in ids that can be decoded or a RunError.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "text/tokenizer/load_sentencepiece.h"
#include "titan/base/errors.h"

namespace {

void load_and_use(std::string_view text, std::string_view model) {
  using namespace titan::text;
  const auto tokenizer = load_sentencepiece(model, "tokenizer.model");
  const auto ids = tokenizer->encode(text, true, true);
  for (const std::int64_t id : ids)
    if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
  if (ids != tokenizer->encode(text, true, true)) std::abort();
  tokenizer->decode(ids, false);
  tokenizer->decode(ids, true);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t length = std::min<std::size_t>(data[0] | data[1] << 8, input.size());
  try {
    load_and_use(input.substr(0, length), input.substr(length));
  } catch (const titan::RunError&) {
  }
  return 0;
}
