#include "text/tokenizer/normalizer.h"

#include <memory>
#include <utility>

#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/normalization_form.h"
#include "text/tokenizer/precompiled_charsmap.h"
#include "text/tokenizer/regex_parts.h"
#include "text/tokenizer/text_pattern.h"
#include "text/tokenizer/unicode_sets.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::size_t kMaxSteps = 64;
// No normaliser in use comes near; a hostile chain of replacements would double the text each time.
constexpr std::size_t kMaxGrowth = 64;
constexpr std::size_t kAlwaysAllowed = 16 << 20;

void check_growth(std::size_t before, std::size_t after) {
  if (after > kAlwaysAllowed && after / kMaxGrowth > before) {
    throw RunError(concat("the tokenizer's normalizer makes more than ", after,
                          " bytes out of a text of ", before, " bytes"));
  }
}

// Calls `rewrite(character, out)` for each character.
template <class Rewrite>
bool rewrite_characters(std::string_view text, std::string& out, Rewrite&& rewrite) {
  out.clear();
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) rewrite(next_code_point(at), out);
  return true;
}

bool lower_text(std::string_view text, std::string& out) {
  return rewrite_characters(text, out, [](char32_t value, std::string& to) {
    if (value < 0x80) {
      to += static_cast<char>(value >= 'A' && value <= 'Z' ? value + ('a' - 'A') : value);
    } else if (value == 0x130) {
      to += "i\u0307";
    } else {
      append_utf8(lower_case(value), to);
    }
  });
}

bool strip_accents(std::string_view text, std::string& out) {
  return rewrite_characters(text, out, [](char32_t value, std::string& to) {
    if (value < 0x300 || !is_stripped_accent(value)) append_utf8(value, to);
  });
}

bool strip_nonspacing_marks(std::string_view text, std::string& out) {
  return rewrite_characters(text, out, [](char32_t value, std::string& to) {
    if (value < 0x300 || !is_stripped_nonspacing_mark(value)) append_utf8(value, to);
  });
}

bool clean_text(std::string_view text, std::string& out) {
  return rewrite_characters(text, out, [](char32_t value, std::string& to) {
    if (value == 0 || value == 0xFFFD || is_cleaned_control(value)) return;
    append_utf8(is_white_space(value) ? U' ' : value, to);
  });
}

// Blanks around the characters that Chinese is written with.
bool set_ideographs_apart(std::string_view text, std::string& out) {
  return rewrite_characters(text, out, [](char32_t value, std::string& to) {
    const bool is_ideograph =
        (value >= 0x3400 && value <= 0x4DBF) || (value >= 0x4E00 && value <= 0x9FFF) ||
        (value >= 0xF900 && value <= 0xFAFF) || (value >= 0x20000 && value <= 0x2A6DF) ||
        (value >= 0x2A700 && value <= 0x2B81F) || (value >= 0x2B920 && value <= 0x2CEAF) ||
        (value >= 0x2F800 && value <= 0x2FA1F);
    if (is_ideograph) to += ' ';
    append_utf8(value, to);
    if (is_ideograph) to += ' ';
  });
}

// The rules of the WMT shared tasks: control characters vanish, odd blanks become blanks.
bool nmt(std::string_view text, std::string& out) {
  return rewrite_characters(text, out, [](char32_t value, std::string& to) {
    const bool vanishes = (value >= 0x01 && value <= 0x08) || value == 0x0B ||
                          (value >= 0x0E && value <= 0x1F) || value == 0x7F || value == 0x8F ||
                          value == 0x9F;
    const bool is_blank = value == 0x09 || value == 0x0A || value == 0x0C || value == 0x0D ||
                          value == 0x1680 || (value >= 0x200B && value <= 0x200F) ||
                          value == 0x2028 || value == 0x2029 || value == 0x2581 ||
                          value == 0xFEFF || value == 0xFFFD;
    if (vanishes) return;
    append_utf8(is_blank ? U' ' : value, to);
  });
}

bool replace_text(std::string_view text, const std::string& what, const std::string& with,
                  std::string& out) {
  std::size_t at = text.find(what);
  if (at == std::string_view::npos) return false;
  out.clear();
  std::size_t copied = 0;
  for (; at != std::string_view::npos; at = text.find(what, copied)) {
    out.append(text, copied, at - copied).append(with);
    copied = at + what.size();
    check_growth(text.size(), out.size());
  }
  out.append(text, copied);
  return true;
}

bool replace_matches(std::string_view text, const Regex& pattern, const std::string& with,
                     RegexWorkspace& workspace, std::string& out) {
  out.clear();
  for_each_part(pattern, text, workspace, [&](Span span, bool is_match) {
    out += is_match ? std::string_view(with) : text.substr(span.begin, span.end - span.begin);
    check_growth(text.size(), out.size());
  });
  return true;
}

}  // namespace

Normalizer::Normalizer(const JsonPlace& place) { add(place); }

void Normalizer::add(const JsonPlace& place) {
  const std::string& type = place.at("type").text();
  if (steps_.size() >= kMaxSteps) place.fail(concat("more than ", kMaxSteps, " normalizers"));
  if (type == "Sequence") {
    place.expect_keys({"type", "normalizers"});
    for (const JsonPlace& member : place.at("normalizers").items()) add(member);
    return;
  }
  if (type == "Strip") return add_strip(place);
  if (type == "Replace") return add_replace(place);
  if (type == "Prepend") {
    place.expect_keys({"type", "prepend"});
    steps_.push_back([front = place.at("prepend").text()](auto text, auto&, auto& out) {
      if (text.empty()) return false;
      out.assign(front).append(text);
      return true;
    });
    return;
  }
  if (type == "BertNormalizer") return add_bert(place);
  if (type == "Precompiled") return add_precompiled(place);
  if (!add_simple(type)) place.refuse(concat("the normalizer ", type));
  place.expect_keys({"type"});
}

// Those without options; false for another type.
bool Normalizer::add_simple(const std::string& type) {
  using Kind = NormalizationForm::Kind;
  for (const auto& [name, kind] :
       {std::pair("NFC", Kind::kNfc), std::pair("NFD", Kind::kNfd), std::pair("NFKC", Kind::kNfkc),
        std::pair("NFKD", Kind::kNfkd)}) {
    if (type != name) continue;
    steps_.push_back([form = std::make_shared<const NormalizationForm>(kind)](
                         auto text, auto&, auto& out) { return form->apply(text, out); });
    return true;
  }
  if (type == "ByteLevel") {
    steps_.push_back([](auto text, auto&, auto& out) {
      out.clear();
      append_byte_characters(text, out);
      return true;
    });
  } else if (type == "Lowercase") {
    steps_.push_back([](auto text, auto&, auto& out) { return lower_text(text, out); });
  } else if (type == "StripAccents") {
    may_drop_the_beginning_ = true;
    steps_.push_back([](auto text, auto&, auto& out) { return strip_accents(text, out); });
  } else if (type == "Nmt") {
    may_drop_the_beginning_ = true;
    steps_.push_back([](auto text, auto&, auto& out) { return nmt(text, out); });
  } else {
    return false;
  }
  return true;
}

// Devlin et al. 2019, in the order of the package.
void Normalizer::add_bert(const JsonPlace& place) {
  place.expect_keys({"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
  const bool lowers = place.flag_or("lowercase", true);
  may_drop_the_beginning_ = true;
  if (place.flag_or("clean_text", true))
    steps_.push_back([](auto text, auto&, auto& out) { return clean_text(text, out); });
  if (place.flag_or("handle_chinese_chars", true))
    steps_.push_back([](auto text, auto&, auto& out) { return set_ideographs_apart(text, out); });
  if (place.flag_or("strip_accents", lowers)) {
    add_simple("NFD");
    steps_.push_back([](auto text, auto&, auto& out) { return strip_nonspacing_marks(text, out); });
  }
  if (lowers) add_simple("Lowercase");
}

void Normalizer::add_precompiled(const JsonPlace& place) {
  place.expect_keys({"type", "precompiled_charsmap"});
  const auto table = place.find("precompiled_charsmap");
  if (!table || table->text().empty()) return;
  // What it drops in front, the package still counts: what follows is the beginning to it.
  try {
    steps_.push_back([map = std::make_shared<const PrecompiledCharsmap>(table->text())](
                         auto text, auto&, auto& out) { return map->apply(text, out); });
  } catch (const RunError& error) {
    table->fail(error.what());
  }
}

void Normalizer::add_strip(const JsonPlace& place) {
  place.expect_keys({"type", "strip_left", "strip_right"});
  const bool left = place.at("strip_left").flag();
  const bool right = place.at("strip_right").flag();
  may_drop_the_beginning_ |= left;
  steps_.push_back([left, right](std::string_view text, auto&, auto& out) {
    const std::size_t size = text.size();
    if (left) text.remove_prefix(leading_white_space(text));
    if (right) text.remove_suffix(trailing_white_space(text));
    if (text.size() == size) return false;
    out.assign(text);
    return true;
  });
}

void Normalizer::add_replace(const JsonPlace& place) {
  place.expect_keys({"type", "pattern", "content"});
  const std::string& with = place.at("content").text();
  may_drop_the_beginning_ |= with.empty();
  TextPattern pattern(place.at("pattern"));
  if (pattern.literal) {
    steps_.push_back([what = *pattern.literal, with](auto text, auto&, auto& out) {
      return replace_text(text, what, with, out);
    });
    return;
  }
  steps_.push_back([regex = std::make_shared<const Regex>(std::move(*pattern.regex)), with](
                       auto text, auto& workspace, auto& out) {
    return replace_matches(text, *regex, with, workspace, out);
  });
}

std::string_view Normalizer::apply(std::string_view text, Workspace& workspace) const {
  const std::size_t size = text.size();
  for (const Step& step : steps_) {
    if (!step(text, workspace.regex_, workspace.next_)) continue;
    workspace.text_.swap(workspace.next_);
    text = workspace.text_;
    check_growth(size, text.size());
  }
  return text;
}

}  // namespace titan::text
