#include "text/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/oniguruma_pattern.h"
#include "text/tokenizer/text_pattern.h"
#include "text/tokenizer/unicode_sets.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

// GPT-2's own pattern, which ByteLevel applies when `use_regex`.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

constexpr std::size_t kMaxStages = 64;

// Cuts in front of each `character`, also of one that follows another unless `in_runs` is false.
template <class OnPiece>
void cut_before(std::string_view text, std::string_view character, bool in_runs,
                const OnPiece& on_piece) {
  std::size_t begin = 0;
  for (std::size_t at = 0; (at = text.find(character, at)) != std::string_view::npos;
       at += character.size()) {
    if (at == begin) continue;
    if (!in_runs && text.substr(0, at).ends_with(character)) continue;
    on_piece(text.substr(begin, at - begin));
    begin = at;
  }
  if (begin < text.size()) on_piece(text.substr(begin));
}

std::string with_metaspaces(std::string_view text, const Metaspace& metaspace, bool is_beginning) {
  const std::string& mark = metaspace.replacement;
  std::string out;
  const bool may_prefix = metaspace.prefix == Metaspace::Prefix::kAlways ||
                          (metaspace.prefix == Metaspace::Prefix::kFirst && is_beginning);
  if (may_prefix && !text.starts_with(' ') && !text.starts_with(mark)) out = mark;
  for (const char c : text) {
    if (c == ' ') {
      out += mark;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

PreTokenizer::PreTokenizer(const JsonPlace& place) { add(place); }

void PreTokenizer::add(const JsonPlace& place) {
  const std::string& type = place.at("type").text();
  if (stages_.size() >= kMaxStages) place.fail(concat("more than ", kMaxStages, " pre-tokenizers"));
  if (type == "Sequence") {
    place.expect_keys({"type", "pretokenizers"});
    for (const JsonPlace& member : place.at("pretokenizers").items()) add(member);
    return;
  }
  if (words_are_bytes_) write_bytes_out();
  if (type == "ByteLevel") return add_byte_level(place);
  if (type == "Split") return add_split(place);
  if (type == "Metaspace") return add_metaspace(place);
  if (type == "Digits") {
    place.expect_keys({"type", "individual_digits"});
    return add_pattern(numeric_class() + (place.flag_or("individual_digits", false) ? "" : "+"),
                       SplitBehavior::kIsolated, place);
  }
  if (type == "Punctuation") {
    place.expect_keys({"type", "behavior"});
    const auto behavior = place.find("behavior");
    return add_pattern(punctuation_class(),
                       behavior ? read_split_behavior(*behavior) : SplitBehavior::kIsolated, place);
  }
  if (type == "CharDelimiterSplit") {
    place.expect_keys({"type", "delimiter"});
    const JsonPlace delimiter = place.at("delimiter");
    if (delimiter.text().empty()) delimiter.fail("must be one character");
    return add_pattern(literal_pattern(delimiter.text()), SplitBehavior::kRemoved, place);
  }
  if (type != "WhitespaceSplit" && type != "Whitespace" && type != "BertPreTokenizer")
    place.refuse(concat("the pre-tokenizer ", type));
  place.expect_keys({"type"});
  if (type == "WhitespaceSplit") return add_pattern(R"(\s)", SplitBehavior::kRemoved, place);
  if (type == "Whitespace") {
    add_pattern(concat("[", word_class_items(), "]+|[^\\s", word_class_items(), "]+"),
                SplitBehavior::kRemoved, place);
    stages_.back().invert = true;
    return;
  }
  add_pattern(R"(\s)", SplitBehavior::kRemoved, place);  // BertPreTokenizer
  add_pattern(punctuation_class(), SplitBehavior::kIsolated, place);
}

void PreTokenizer::add_pattern(std::string_view pattern, SplitBehavior behavior,
                               const JsonPlace& place) {
  stages_.push_back({.pattern = compile_pattern(pattern, place), .behavior = behavior});
}

void PreTokenizer::add_split(const JsonPlace& place) {
  place.expect_keys({"type", "pattern", "behavior", "invert"});
  Stage stage;
  stage.invert = place.flag_or("invert", false);
  stage.behavior = read_split_behavior(place.at("behavior"));
  stage.pattern = TextPattern(place.at("pattern")).take_regex();
  stages_.push_back(std::move(stage));
}

void PreTokenizer::add_byte_level(const JsonPlace& place) {
  place.expect_keys({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  if (place.flag_or("add_prefix_space", true)) {
    stages_.push_back({.kind = Stage::Kind::kPrefixBlank});
  }
  if (place.flag_or("use_regex", true)) add_pattern(kGpt2Pattern, SplitBehavior::kIsolated, place);
  words_are_bytes_ = true;
}

void PreTokenizer::add_metaspace(const JsonPlace& place) {
  Metaspace metaspace(place);
  if (metaspace.prefix == Metaspace::Prefix::kFirst && !stages_.empty())
    place.refuse("prepend_scheme 'first' behind another pre-tokenizer");
  stages_.push_back({.kind = Stage::Kind::kMetaspace, .metaspace = std::move(metaspace)});
}

void PreTokenizer::write_bytes_out() {
  words_are_bytes_ = false;
  stages_.push_back({.kind = Stage::Kind::kByteCharacters});
}

void PreTokenizer::add_cuts_before(const std::string& character) {
  stages_.push_back({.kind = Stage::Kind::kCutBefore, .character = character});
}

bool PreTokenizer::knows_the_beginning() const {
  return std::any_of(stages_.begin(), stages_.end(), [](const Stage& stage) {
    return stage.metaspace && stage.metaspace->prefix == Metaspace::Prefix::kFirst;
  });
}

void PreTokenizer::split(std::string_view text, bool is_beginning, Workspace& workspace,
                         const OnWord& on_word) const {
  if (!text.empty()) split_from(0, text, is_beginning, workspace, on_word);
}

/// By the stages from number `stage` on, each piece through all of them before the next.
void PreTokenizer::split_from(std::size_t stage, std::string_view text, bool is_beginning,
                              Workspace& workspace, const OnWord& on_word) const {
  if (stage == stages_.size()) return on_word(text);
  const auto pass_on = [&](std::string_view piece) {
    split_from(stage + 1, piece, is_beginning, workspace, on_word);
  };
  const Stage& by = stages_[stage];
  std::string copy;
  switch (by.kind) {
    case Stage::Kind::kSplit:
      return split_by_pattern(*by.pattern, by.behavior, by.invert, text, workspace.regex_,
                              std::cref(pass_on));
    case Stage::Kind::kPrefixBlank:
      if (text.starts_with(' ')) return pass_on(text);
      return pass_on(copy.append(" ").append(text));
    case Stage::Kind::kByteCharacters:
      append_byte_characters(text, copy);
      return pass_on(copy);
    case Stage::Kind::kMetaspace:
      copy = with_metaspaces(text, *by.metaspace, is_beginning);
      if (by.metaspace->split) return cut_before(copy, by.metaspace->replacement, true, pass_on);
      return pass_on(copy);
    case Stage::Kind::kCutBefore:
      return cut_before(text, by.character, false, pass_on);
  }
}

}  // namespace titan::text
