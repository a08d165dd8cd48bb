#include "text/tokenizer/vocabulary_files.h"

#include <algorithm>

#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr const char* kByteLevelBpe = R"({
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
  "post_processor": {"type": "ByteLevel"}, "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "vocab": true, "merges": true}})";
constexpr const char* kWordLevel = R"({
  "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": true}})";

// What Python's str.strip and str.split take for blanks.
bool is_python_blank(char32_t value) {
  return is_white_space(value) || (value >= 0x1C && value <= 0x1F);
}

// The words of a line between blanks, up to `limit`; what follows is not looked at.
std::vector<std::string_view> first_words(std::string_view line, std::size_t limit) {
  std::vector<std::string_view> words;
  const char* at = line.data();
  const char* const end = at + line.size();
  while (at != end && words.size() < limit) {
    const char* begin = at;
    while (at != end && is_python_blank(next_code_point(at))) begin = at;
    if (begin == end) break;
    at = begin;
    const char* word_end = begin;
    while (at != end && !is_python_blank(next_code_point(at))) word_end = at;
    if (word_end == begin) break;
    words.emplace_back(begin, static_cast<std::size_t>(word_end - begin));
  }
  return words;
}

// From the first character that is no blank to the last.
std::string_view strip(std::string_view line) {
  const char* at = line.data();
  const char* const end = at + line.size();
  const char* first = end;
  const char* last = end;
  while (at != end) {
    const char* const begin = at;
    if (is_python_blank(next_code_point(at))) continue;
    if (first == end) first = begin;
    last = at;
  }
  return {first, static_cast<std::size_t>(last - first)};
}

// Calls `on_line(line, number)`, numbers from 0, for the lines of a file of UTF-8; they end with
// \n, \r\n or \r.
template <class OnLine>
void for_each_line(const NamedBytes& file, OnLine&& on_line) {
  std::string_view rest = file.bytes;
  for (std::size_t number = 0; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find_first_of("\r\n"), rest.size());
    const std::string_view line = rest.substr(0, end);
    if (!is_utf8(line)) throw RunError(concat("no UTF-8 (", file.path, ":", number + 1, ")"));
    on_line(line, number);
    rest.remove_prefix(end);
    if (!rest.empty()) rest.remove_prefix(rest.starts_with("\r\n") ? 2 : 1);
  }
}

void parse_vocabulary_text(const NamedBytes& file, TokenizerFile& out) {
  for_each_line(file, [&](std::string_view line, std::size_t number) {
    const std::string_view token = strip(line);
    if (token.empty()) return;
    if (number >= kMaxTokenIds)
      throw RunError(concat("more than ", kMaxTokenIds, " lines (", file.path, ")"));
    out.tokens.push_back(token);
    out.token_ids.push_back(static_cast<TokenId>(number));
  });
}

void parse_merges(const NamedBytes& file, TokenizerFile& out) {
  for_each_line(file, [&](std::string_view line, std::size_t number) {
    const auto words = first_words(line, 2);
    if (words.empty() || words[0].starts_with('#')) return;
    if (words.size() < 2) {
      throw RunError(concat("a merge must be two tokens with a blank between (", file.path, ":",
                            number + 1, ")"));
    }
    out.merge_halves.push_back(words[0]);
    out.merge_halves.push_back(words[1]);
  });
}

}  // namespace

TokenizerFile parse_vocabulary_files(const NamedBytes& vocabulary,
                                     const std::optional<NamedBytes>& merges) {
  TokenizerFile file;
  file.path = vocabulary.path;
  file.vocabulary_path = vocabulary.path;
  file.document = Json::parse(merges ? kByteLevelBpe : kWordLevel);
  if (vocabulary.path.ends_with(".json")) {
    parse_vocabulary_json(vocabulary.bytes, vocabulary.path, file);
  } else {
    parse_vocabulary_text(vocabulary, file);
  }
  if (merges) {
    file.merges_path = merges->path;
    parse_merges(*merges, file);
  }
  return file;
}

bool looks_like_word_pieces(const TokenizerFile& file) {
  std::size_t pieces = 0;
  for (std::size_t i = 0; i < file.tokens.size(); ++i) {
    const std::string_view token = file.tokens[i];
    if (token == "[CLS]" || (token.starts_with("##") && token.size() > 2 && ++pieces > 1))
      return true;
  }
  return false;
}

}  // namespace titan::text
