#include "titan/components/generate/decode_continuation.h"

#include <algorithm>

namespace titan::components {
namespace {

bool is_inside_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

std::string decode_continuation(const protocols::Tokenizer& tokenizer,
                                const std::vector<std::int64_t>& prompt,
                                const std::vector<std::int64_t>& ids) {
  std::vector<std::int64_t> all = prompt;
  all.insert(all.end(), ids.begin(), ids.end());
  const std::string before = tokenizer.decode(prompt, /*skip_special_tokens=*/true);
  const std::string text = tokenizer.decode(all, /*skip_special_tokens=*/true);
  auto begin = std::mismatch(before.begin(), before.end(), text.begin(), text.end()).second;
  while (begin != text.begin() && begin != text.end() && is_inside_character(*begin)) --begin;
  return {begin, text.end()};
}

}  // namespace titan::components
