#include "components/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "components/tokenizer/oniguruma_pattern.h"
#include "components/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::components {
namespace {

// GPT-2's own pattern, which ByteLevel applies when `use_regex`.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

constexpr std::size_t kMaxStages = 64;

Regex compile(std::string_view pattern, const JsonPlace& place) {
  try {
    return Regex(pattern);
  } catch (const RegexError& error) {
    place.fail(error.what());
  }
}

// Calls `on_part(span, is_match)` for every match and every gap, in order. After an empty match
// that touches the one before it the search goes on one character later.
template <class OnPart>
void find_parts(const Regex& pattern, std::string_view text, RegexWorkspace& workspace,
                OnPart&& on_part) {
  std::size_t covered = 0;
  std::optional<std::size_t> last_end;
  std::size_t from = 0;
  Span match;
  while (from <= text.size() && pattern.search(text, from, workspace, match)) {
    if (match.begin == match.end && last_end == match.end) {
      from += std::max<std::size_t>(1, decode_utf8(text.substr(from)).length);
      continue;
    }
    from = match.end;
    last_end = match.end;
    if (covered != match.begin) on_part(Span{covered, match.begin}, false);
    on_part(match, true);
    covered = match.end;
  }
  if (covered != text.size()) on_part(Span{covered, text.size()}, false);
}

}  // namespace

PreTokenizer::PreTokenizer(const JsonPlace& place) {
  const std::string& type = place.at("type").text();
  if (type == "ByteLevel") {
    add_byte_level(place);
    return;
  }
  if (type != "Sequence") place.refuse(concat("a pre-tokenizer ", type, " without ByteLevel"));
  place.expect_keys({"type", "pretokenizers"});
  const JsonPlace members = place.at("pretokenizers");
  members.expect_array();
  if (members.size() > kMaxStages)
    members.fail(concat("more than ", kMaxStages, " pre-tokenizers"));
  for (std::size_t i = 0; i < members.size(); ++i) {
    const JsonPlace member = members.at(i);
    const std::string& kind = member.at("type").text();
    const bool is_last = i + 1 == members.size();
    if (kind == "Split" && !is_last) {
      add_split(member);
    } else if (kind == "ByteLevel" && is_last) {
      add_byte_level(member);
    } else {
      member.refuse(concat("a pre-tokenizer ", kind, is_last ? " at the end" : " before the end"));
    }
  }
  if (members.size() == 0) members.refuse("a pre-tokenizer without ByteLevel");
}

void PreTokenizer::add_split(const JsonPlace& place) {
  static constexpr std::pair<std::string_view, Behavior> kBehaviors[] = {
      {"Removed", Behavior::kRemoved},
      {"Isolated", Behavior::kIsolated},
      {"MergedWithPrevious", Behavior::kMergedWithPrevious},
      {"MergedWithNext", Behavior::kMergedWithNext},
      {"Contiguous", Behavior::kContiguous}};
  place.expect_keys({"type", "pattern", "behavior", "invert"});
  Stage stage;
  stage.invert = place.flag_or("invert", false);
  const JsonPlace behavior = place.at("behavior");
  const auto known = std::find_if(std::begin(kBehaviors), std::end(kBehaviors),
                                  [&](const auto& pair) { return pair.first == behavior.text(); });
  if (known == std::end(kBehaviors))
    behavior.fail(concat("unknown behavior '", behavior.text(), "'"));
  stage.behavior = known->second;
  const JsonPlace pattern = place.at("pattern");
  pattern.expect_keys({"Regex", "String"});
  if (const auto regex = pattern.find("Regex")) {
    stage.pattern = compile(regex->text(), *regex);
  } else {
    const JsonPlace literal = pattern.at("String");
    if (literal.text().empty()) literal.refuse("an empty pattern");
    stage.pattern = compile(literal_pattern(literal.text()), literal);
  }
  stages_.push_back(std::move(stage));
}

void PreTokenizer::add_byte_level(const JsonPlace& place) {
  place.expect_keys({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  Stage stage;
  stage.add_prefix_space = place.flag_or("add_prefix_space", true);
  if (place.flag_or("use_regex", true)) stage.pattern = compile(kGpt2Pattern, place);
  if (stage.add_prefix_space || stage.pattern) stages_.push_back(std::move(stage));
}

void PreTokenizer::split(std::string_view text, Workspace& workspace,
                         std::vector<std::string_view>& words) const {
  workspace.prefixed_.clear();
  words.clear();
  if (!text.empty()) words.push_back(text);
  for (const Stage& stage : stages_) {
    auto& pieces = workspace.pieces_;
    pieces.clear();
    for (std::string_view piece : words) {
      if (stage.add_prefix_space && piece.front() != ' ') {
        piece = workspace.prefixed_.emplace_back(concat(' ', piece));
      }
      cut(stage, piece, workspace.regex_, pieces);
    }
    words.swap(pieces);
  }
}

void PreTokenizer::cut(const Stage& stage, std::string_view text, RegexWorkspace& workspace,
                       std::vector<std::string_view>& pieces) {
  const auto keep = [&](Span span) {
    if (span.begin < span.end) pieces.push_back(text.substr(span.begin, span.end - span.begin));
  };
  if (!stage.pattern) return keep({0, text.size()});
  if (stage.behavior == Behavior::kIsolated) {
    return find_parts(*stage.pattern, text, workspace, [&](Span span, bool) { keep(span); });
  }
  std::vector<Part> parts;
  find_parts(*stage.pattern, text, workspace, [&](Span span, bool is_match) {
    parts.push_back({span, is_match != stage.invert});
  });
  for (const Part& part : merge_parts(std::move(parts), stage.behavior)) {
    if (stage.behavior != Behavior::kRemoved || !part.is_match) keep(part.span);
  }
}

std::vector<PreTokenizer::Part> PreTokenizer::merge_parts(std::vector<Part> parts,
                                                          Behavior behavior) {
  if (behavior == Behavior::kRemoved || behavior == Behavior::kIsolated) return parts;
  const bool backwards = behavior == Behavior::kMergedWithNext;
  if (backwards) std::reverse(parts.begin(), parts.end());
  std::vector<Part> merged;
  bool last_was_match = false;
  for (const Part& part : parts) {
    const bool joins = behavior == Behavior::kContiguous ? part.is_match == last_was_match
                                                         : part.is_match && !last_was_match;
    last_was_match = part.is_match;
    if (!joins || merged.empty()) {
      merged.push_back(part);
    } else if (backwards) {
      merged.back().span.begin = part.span.begin;
    } else {
      merged.back().span.end = part.span.end;
    }
  }
  if (backwards) std::reverse(merged.begin(), merged.end());
  return merged;
}

}  // namespace titan::components
