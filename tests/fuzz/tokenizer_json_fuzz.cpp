// Input: tokenizer.json, a zero byte, tokenizer_config.json (may be empty), a zero byte, a text.
// Whatever the files say, loading ends in a tokenizer or a RunError; the ids it gives can be
// decoded.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "text/tokenizer/hf_tokenizer.h"
#include "titan/base/errors.h"

namespace {

std::string_view take_part(std::string_view& input) {
  const std::string_view part = input.substr(0, input.find('\0'));
  input.remove_prefix(std::min(input.size(), part.size() + 1));
  return part;
}

void check(bool condition) {
  if (!condition) std::abort();
}

void load_and_use(std::string_view json, std::string_view config_json, std::string_view text) {
  using namespace titan::text;
  TokenizerConfig config;
  if (!config_json.empty()) config = parse_tokenizer_config(config_json, "tokenizer_config.json");
  const HfTokenizer tokenizer(parse_tokenizer_file(json, "tokenizer.json"), config);
  const auto ids = tokenizer.encode(text, true, true);
  for (const std::int64_t id : ids) check(id >= 0 && id < tokenizer.vocab_size());
  check(ids == tokenizer.encode(text, true, true));  // from the word cache
  tokenizer.decode(ids, false);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view json = take_part(input);
  const std::string_view config = take_part(input);
  try {
    load_and_use(json, config, input);
  } catch (const titan::RunError&) {
  }
  return 0;
}
