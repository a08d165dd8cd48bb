#include "text/tokenizer/tokenizer_config.h"

#include <algorithm>
#include <cctype>

#include "titan/base/errors.h"

namespace titan::text {
namespace {

const AddedToken kSpecialByDefault{.content = "", .special = true};

bool is_whole_number(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

// A token written as a string, or as an object with `content` and flags.
AddedToken read_token(const JsonPlace& place) {
  if (place.is_object()) return AddedToken::read(place, kSpecialByDefault);
  AddedToken token = kSpecialByDefault;
  token.content = place.text();
  return token;
}

}  // namespace

TokenizerConfig parse_tokenizer_config(std::string_view bytes, const std::string& path) {
  JsonDocumentBuilder builder;
  parse_json(bytes, path, builder);
  const Json document = builder.take();
  const JsonPlace root(document, path);
  TokenizerConfig config;
  for (const char* name : {"bos_token", "eos_token", "pad_token", "unk_token", "sep_token",
                           "cls_token", "mask_token"}) {
    const auto place = root.find(name);
    if (!place) continue;
    config.special_tokens.push_back(read_token(*place));
    const std::string& content = config.special_tokens.back().content;
    if (content.empty()) continue;
    if (name == std::string_view("bos_token")) config.bos = content;
    if (name == std::string_view("eos_token")) config.eos = content;
  }
  if (const auto decoder = root.find("added_tokens_decoder")) {
    for (const auto& [id, entry] : decoder->value().items()) {
      const JsonPlace place = decoder->at(id);
      if (!is_whole_number(id)) place.fail("the key must be a token id");
      config.special_tokens.push_back(AddedToken::read(place, kSpecialByDefault));
    }
  }
  return config;
}

}  // namespace titan::text
