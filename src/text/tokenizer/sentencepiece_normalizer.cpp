#include "text/tokenizer/sentencepiece_normalizer.h"

#include "text/tokenizer/metaspace.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

// Rules of the models in use make a character at most 18 characters long (U+FDFA).
constexpr std::size_t kMaxGrowth = 64;
constexpr std::size_t kAlwaysAllowed = 16 << 20;

}  // namespace

SentencePieceNormalizer::SentencePieceNormalizer(const SentencePieceModel& model,
                                                 const PieceTrie& user_defined)
    : user_defined_(user_defined),
      map_(model.character_map, model.path),
      add_dummy_prefix_(model.add_dummy_prefix),
      whitespace_as_suffix_(model.whitespace_as_suffix),
      remove_extra_whitespaces_(model.remove_extra_whitespaces),
      blank_(model.escape_whitespaces ? kBlankMark : " ") {}

SentencePieceNormalizer::Prefix SentencePieceNormalizer::rewrite_prefix(
    std::string_view text) const {
  if (const std::size_t length = longest_match(user_defined_, text).bytes)
    return {text.substr(0, length), length};
  if (const auto rule = map_.find(text)) return {rule->replacement, rule->length};
  const char* at = text.data();
  next_code_point(at);
  const auto length = static_cast<std::size_t>(at - text.data());
  return {text.substr(0, length), length};
}

void SentencePieceNormalizer::append_escaped(std::string_view part, std::string& out) const {
  for (const char c : part) {
    if (c == ' ') {
      out += blank_;
    } else {
      out += c;
    }
  }
}

void SentencePieceNormalizer::apply(std::string_view text, std::string& out) const {
  out.clear();
  const std::size_t size = text.size();
  bool after_blank = remove_extra_whitespaces_;
  if (remove_extra_whitespaces_) {
    while (!text.empty()) {
      const Prefix prefix = rewrite_prefix(text);
      if (prefix.text != " ") break;
      text.remove_prefix(prefix.length);
    }
  }
  if (text.empty()) return;
  if (add_dummy_prefix_ && !whitespace_as_suffix_) out += blank_;
  while (!text.empty()) {
    const Prefix prefix = rewrite_prefix(text);
    std::string_view part = prefix.text;
    while (after_blank && part.starts_with(' ')) part.remove_prefix(1);
    append_escaped(part, out);
    if (!part.empty()) after_blank = remove_extra_whitespaces_ && part.ends_with(' ');
    text.remove_prefix(prefix.length);
    if (out.size() > kAlwaysAllowed && out.size() / kMaxGrowth > size)
      throw RunError(concat("the tokenizer's rules make more than ", out.size(),
                            " bytes out of a text of ", size, " bytes"));
  }
  if (remove_extra_whitespaces_) {
    while (out.ends_with(blank_)) out.resize(out.size() - blank_.size());
  }
  if (add_dummy_prefix_ && whitespace_as_suffix_) out += blank_;
}

}  // namespace titan::text
