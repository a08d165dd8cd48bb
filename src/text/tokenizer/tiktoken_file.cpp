#include "text/tokenizer/tiktoken_file.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/tokenizer/base64.h"
#include "text/tokenizer/byte_alphabet.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr const char* kLlama3 = R"json({
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "ignore_merges": true, "vocab": true, "merges": true}})json";

constexpr std::size_t kLlama3Tokens = 128'000;
constexpr std::size_t kSpecialTokens = 256;
constexpr std::size_t kSmall = 50'000;  // fewer than any released vocabulary of this form
constexpr std::size_t kLongestToken = 256;

struct Line {
  std::string bytes;
  TokenId rank = 0;
};

std::optional<Line> parse_line(std::string_view text) {
  const std::size_t blank = text.find(' ');
  if (blank == std::string_view::npos) return std::nullopt;
  const std::string_view number = text.substr(blank + 1);
  Line line;
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), line.rank);
  if (error != std::errc() || end != number.data() + number.size()) return std::nullopt;
  auto bytes = decode_base64(text.substr(0, blank));
  if (!bytes || bytes->empty()) return std::nullopt;
  line.bytes = std::move(*bytes);
  return line;
}

std::string_view take_line(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('\n'), rest.size());
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(rest.size(), end + 1));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::vector<Line> parse_lines(std::string_view bytes, const std::string& path) {
  std::vector<Line> lines;
  for (std::size_t number = 1; !bytes.empty(); ++number) {
    const std::string_view text = take_line(bytes);
    if (text.empty()) continue;
    auto line = parse_line(text);
    const auto fail = [&](std::string_view what) {
      throw RunError(concat(what, " (", path, ":", number, ")"));
    };
    if (!line) fail("a line must be a token in base64 and its rank");
    if (line->rank >= kMaxTokenIds) fail(concat("the rank is not below ", kMaxTokenIds));
    if (line->bytes.size() > kLongestToken)
      fail(concat("a token of more than ", kLongestToken, " bytes"));
    lines.push_back(std::move(*line));
  }
  return lines;
}

}  // namespace

bool is_tiktoken_file(std::string_view bytes) { return parse_line(take_line(bytes)).has_value(); }

// tiktoken merges two neighbours when their bytes together are a token, lowest rank first: every way to
// cut a token in two tokens is a merge, and all of one token have its rank.
TokenizerFile parse_tiktoken_file(std::string_view bytes, const std::string& path) {
  const std::vector<Line> lines = parse_lines(bytes, path);
  if (lines.size() != kLlama3Tokens && lines.size() > kSmall) {
    throw RunError(concat(
        "not available in this build yet: tiktoken ranks of ", lines.size(),
        " tokens, other than Llama 3's ", kLlama3Tokens,
        ": the file does not say how text is cut. Use the model's tokenizer.json (", path, ")"));
  }
  TokenizerFile file;
  file.path = file.vocabulary_path = file.merges_path = path;
  file.document = Json::parse(kLlama3);
  std::unordered_map<std::string_view, std::string> known;  // in the byte alphabet
  for (const Line& line : lines) {
    std::string& token = known[line.bytes];
    token.clear();
    append_byte_characters(line.bytes, token);
    file.tokens.push_back(token);
    file.token_ids.push_back(line.rank);
  }
  for (const Line& line : lines) {
    const std::string_view whole = line.bytes;
    for (std::size_t cut = 1; cut < whole.size(); ++cut) {
      const auto left = known.find(whole.substr(0, cut));
      const auto right = known.find(whole.substr(cut));
      if (left == known.end() || right == known.end()) continue;
      file.merge_halves.push_back(left->second);
      file.merge_halves.push_back(right->second);
      file.merge_ranks.push_back(line.rank);
    }
  }
  return file;
}

TokenizerConfig llama3_special_tokens() {
  std::vector<std::string> names = {"<|begin_of_text|>", "<|end_of_text|>"};
  std::size_t reserved = 0;
  const auto reserve = [&](std::size_t until) {
    while (names.size() < until)
      names.push_back(concat("<|reserved_special_token_", reserved++, "|>"));
  };
  reserve(4);
  names.emplace_back("<|finetune_right_pad_id|>");
  reserve(6);
  for (const char* name :
       {"<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"})
    names.emplace_back(name);
  reserve(kSpecialTokens);
  TokenizerConfig config;
  config.path = "the special tokens of Llama 3";
  config.bos = names[0];
  config.eos = names[1];
  for (std::string& name : names) {
    AddedToken token;
    token.content = std::move(name);
    token.normalized = false;
    token.special = true;
    config.special_tokens.push_back(std::move(token));
  }
  return config;
}

}  // namespace titan::text
