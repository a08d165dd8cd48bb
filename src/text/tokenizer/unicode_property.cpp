#include "text/tokenizer/unicode_property.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "text/tokenizer/character_set.h"
#include "text/tokenizer/unicode_additions.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

struct Names {
  std::string_view code;
  std::string_view name;
};

constexpr Names kCategories[] = {
    {"L", "letter"},
    {"Lu", "uppercaseletter"},
    {"Ll", "lowercaseletter"},
    {"Lt", "titlecaseletter"},
    {"Lm", "modifierletter"},
    {"Lo", "otherletter"},
    {"M", "mark"},
    {"Mn", "nonspacingmark"},
    {"Mc", "spacingmark"},
    {"Me", "enclosingmark"},
    {"N", "number"},
    {"Nd", "decimalnumber"},
    {"Nl", "letternumber"},
    {"No", "othernumber"},
    {"P", "punctuation"},
    {"Pc", "connectorpunctuation"},
    {"Pd", "dashpunctuation"},
    {"Ps", "openpunctuation"},
    {"Pe", "closepunctuation"},
    {"Pi", "initialpunctuation"},
    {"Pf", "finalpunctuation"},
    {"Po", "otherpunctuation"},
    {"S", "symbol"},
    {"Sm", "mathsymbol"},
    {"Sc", "currencysymbol"},
    {"Sk", "modifiersymbol"},
    {"So", "othersymbol"},
    {"Z", "separator"},
    {"Zs", "spaceseparator"},
    {"Zl", "lineseparator"},
    {"Zp", "paragraphseparator"},
    {"Cc", "control"},
    {"Cf", "format"},
    {"Co", "privateuse"},
    {"Cs", "surrogate"},
    {"M", "combiningmark"},
    {"P", "punct"},
    {"Nd", "digit"},
    {"Cc", "cntrl"},
};

// PCRE2's binary properties under their names and Oniguruma's, and what Unicode 15 and 16 (and corrections of
// older characters) added.
struct Property {
  std::string_view name;
  std::string_view also;
  std::string_view pcre2;
  std::string_view additions;
};

constexpr Property kProperties[] = {
    {"alphabetic", "alpha", R"(\p{Alphabetic})",
     R"(\x{363}-\x{36F}\x{897}\x{C04}\x{CF3}\x{F82}-\x{F83}\x{1C89}-\x{1C8A}\x{1DD3}-\x{1DE6}\x{A7CB}-\x{A7CD})"
     R"(\x{A7DA}-\x{A7DC}\x{105C0}-\x{105F3}\x{10D4A}-\x{10D65}\x{10D69}\x{10D6F}-\x{10D85}\x{10EC2}-\x{10EC4})"
     R"(\x{10EFC}\x{11080}-\x{11081}\x{1123F}-\x{11241}\x{11380}-\x{11389}\x{1138B}\x{1138E}\x{11390}-\x{113B5})"
     R"(\x{113B7}-\x{113C0}\x{113C2}\x{113C5}\x{113C7}-\x{113CA}\x{113CC}-\x{113CD}\x{113D1}\x{113D3})"
     R"(\x{11BC0}-\x{11BE0}\x{11F00}-\x{11F10}\x{11F12}-\x{11F3A}\x{11F3E}-\x{11F40}\x{1342F}\x{13441}-\x{13446})"
     R"(\x{13460}-\x{143FA}\x{16100}-\x{1612E}\x{16D40}-\x{16D6C}\x{18CFF}\x{1B132}\x{1B155}\x{1DF25}-\x{1DF2A})"
     R"(\x{1E030}-\x{1E06D}\x{1E08F}\x{1E4D0}-\x{1E4EB}\x{1E5D0}-\x{1E5ED}\x{1E5F0}\x{2B739}\x{2EBF0}-\x{2EE5D})"
     R"(\x{31350}-\x{323AF})"},
    {"uppercase", "upper", R"(\p{Uppercase})",
     R"(\x{1C89}\x{A7CB}-\x{A7CC}\x{A7DA}\x{A7DC}\x{10D50}-\x{10D65})"},
    {"lowercase", "lower", R"(\p{Lowercase})",
     R"(\x{10FC}\x{1C8A}\x{A7CD}\x{A7DB}\x{A7F2}-\x{A7F4}\x{AB69}\x{10D70}-\x{10D85}\x{1DF25}-\x{1DF2A}\x{1E030}-\x{1E06D})"},
    {"whitespace", "space",
     R"(\x09-\x0d\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})",
     ""},
    {"blank", "", R"(\x09\p{Zs})", ""},
    {"xdigit", "asciihexdigit", "0-9A-Fa-f", ""},
    {"ascii", "", R"(\x00-\x7f)", ""},
    {"any", "", R"(\x{0}-\x{10ffff})", ""},
    {"ideographic", "", R"(\p{Ideographic})",
     R"(\x{18CFF}\x{2B739}\x{2EBF0}-\x{2EE5D}\x{31350}-\x{323AF})"},
    {"unifiedideograph", "", R"(\p{Unified_Ideograph})",
     R"(\x{2B739}\x{2EBF0}-\x{2EE5D}\x{31350}-\x{323AF})"},
    {"emoji", "", R"(\p{Emoji})",
     R"(\x{1F6DC}\x{1FA75}-\x{1FA77}\x{1FA87}-\x{1FA89}\x{1FA8F}\x{1FAAD}-\x{1FAAF}\x{1FABB}-\x{1FABF}\x{1FAC6})"
     R"(\x{1FACE}-\x{1FACF}\x{1FADA}-\x{1FADC}\x{1FADF}\x{1FAE8}-\x{1FAE9}\x{1FAF7}-\x{1FAF8})"},
    {"emojipresentation", "", R"(\p{Emoji_Presentation})",
     R"(\x{1F6DC}\x{1FA75}-\x{1FA77}\x{1FA87}-\x{1FA89}\x{1FA8F}\x{1FAAD}-\x{1FAAF}\x{1FABB}-\x{1FABF}\x{1FAC6})"
     R"(\x{1FACE}-\x{1FACF}\x{1FADA}-\x{1FADC}\x{1FADF}\x{1FAE8}-\x{1FAE9}\x{1FAF7}-\x{1FAF8})"},
    {"emojimodifier", "", R"(\p{Emoji_Modifier})", ""},
    {"emojicomponent", "", R"(\p{Emoji_Component})", ""},
    {"extendedpictographic", "", R"(\p{Extended_Pictographic})", ""},
    {"variationselector", "", R"(\p{Variation_Selector})", ""},
};

// Scripts that have grown since.
constexpr Property kGrownScripts[] = {
    {"arabic", "arab", "", R"(\x{897}\x{10EC2}-\x{10EC4}\x{10EFC}-\x{10EFF})"},
    {"balinese", "bali", "", R"(\x{1B4E}-\x{1B4F}\x{1B7F})"},
    {"common", "zyyy", "",
     R"(\x{2427}-\x{2429}\x{2FFC}-\x{2FFF}\x{31E4}-\x{31E5}\x{31EF}\x{1CC00}-\x{1CCF9}\x{1CD00}-\x{1CEB3})"
     R"(\x{1D2C0}-\x{1D2D3}\x{1F6DC}\x{1F774}-\x{1F776}\x{1F77B}-\x{1F77F}\x{1F7D9}\x{1F8B2}-\x{1F8BB})"
     R"(\x{1F8C0}-\x{1F8C1}\x{1FA75}-\x{1FA77}\x{1FA87}-\x{1FA89}\x{1FA8F}\x{1FAAD}-\x{1FAAF}\x{1FABB}-\x{1FABF})"
     R"(\x{1FAC6}\x{1FACE}-\x{1FACF}\x{1FADA}-\x{1FADC}\x{1FADF}\x{1FAE8}-\x{1FAE9}\x{1FAF7}-\x{1FAF8})"
     R"(\x{1FBCB}-\x{1FBEF})"},
    {"cyrillic", "cyrl", "", R"(\x{1C89}-\x{1C8A}\x{1E030}-\x{1E06D}\x{1E08F})"},
    {"devanagari", "deva", "", R"(\x{11B00}-\x{11B09})"},
    {"egyptianhieroglyphs", "egyp", "", R"(\x{1342F}\x{13439}-\x{13455}\x{13460}-\x{143FA})"},
    {"han", "hani", "", R"(\x{2B739}\x{2EBF0}-\x{2EE5D}\x{31350}-\x{323AF})"},
    {"hiragana", "hira", "", R"(\x{1B132})"},
    {"kannada", "knda", "", R"(\x{CF3})"},
    {"katakana", "kana", "", R"(\x{1B155})"},
    {"khitansmallscript", "kits", "", R"(\x{18CFF})"},
    {"khojki", "khoj", "", R"(\x{1123F}-\x{11241})"},
    {"lao", "laoo", "", R"(\x{ECE})"},
    {"latin", "latn", "", R"(\x{A7CB}-\x{A7CD}\x{A7DA}-\x{A7DC}\x{1DF25}-\x{1DF2A})"},
    {"myanmar", "mymr", "", R"(\x{116D0}-\x{116E3})"},
};

constexpr std::string_view kMovedToMc = R"(\x{1171E})";

std::string simple_name(std::string_view name) {
  std::string simple;
  for (const char c : name) {
    if (c == ' ' || c == '-' || c == '_') continue;
    simple += static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  }
  return simple;
}

std::string category_items(std::string_view code) {
  if (code == "Mn") {  // one of them is Mc by now
    const CharacterSet moved = CharacterSet::of_items(kMovedToMc);
    return CharacterSet::of_items(concat("\\p{Mn}", unicode_additions(code)))
        .intersected(moved.complement())
        .items();
  }
  if (code == "Mc") return concat("\\p{Mc}", kMovedToMc, unicode_additions(code));
  return concat("\\p{", code, "}", unicode_additions(code));
}

std::string items_of_all(std::initializer_list<std::string_view> codes) {
  std::string items;
  for (const std::string_view code : codes) items += category_items(code);
  return items;
}

bool is_known_to_pcre2(const std::string& pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<const unsigned char*>(pattern.data()),
                                   pattern.size(), PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
  pcre2_code_free(code);
  return code != nullptr;
}

// PCRE2's plain \p{Han} has the characters that other scripts share too.
std::optional<std::string> script_items(const std::string& name) {
  const bool is_word =
      std::all_of(name.begin(), name.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  if (!is_word || name == "unknown" || name == "zzzz") return std::nullopt;
  const std::string items = concat("\\p{sc:", name, "}");
  if (!is_known_to_pcre2(items)) return std::nullopt;
  for (const Property& script : kGrownScripts) {
    if (name == script.name || name == script.also) return concat(items, script.additions);
  }
  return items;
}

}  // namespace

std::optional<CharacterItems> unicode_property(std::string_view name) {
  const std::string simple = simple_name(name);
  for (const auto& [code, long_name] : kCategories) {
    if (simple == simple_name(code) || simple == long_name)
      return CharacterItems{category_items(code)};
  }
  for (const Property& property : kProperties) {
    if (!simple.empty() && (simple == property.name || simple == property.also))
      return CharacterItems{concat(property.pcre2, property.additions)};
  }
  if (simple == "lc" || simple == "casedletter")
    return CharacterItems{items_of_all({"Lu", "Ll", "Lt"})};
  if (simple == "alnum")
    return CharacterItems{unicode_property("alpha")->items + category_items("Nd")};
  if (simple == "word") return CharacterItems{word_items_in_class()};
  // What has a category, and what has none: a character that is new since Unicode 14 is in PCRE2's Cn.
  const std::string visible = items_of_all({"L", "M", "N", "P", "S"});
  const std::string hidden = items_of_all({"Cc", "Cf", "Co"});
  if (simple == "c" || simple == "other")
    return CharacterItems{visible + category_items("Z"), /*negated=*/true};
  if (simple == "assigned") return CharacterItems{visible + category_items("Z") + hidden};
  if (simple == "cn" || simple == "unassigned")
    return CharacterItems{visible + category_items("Z") + hidden, /*negated=*/true};
  if (simple == "graph") return CharacterItems{visible + items_of_all({"Cf", "Co"})};
  if (simple == "print") return CharacterItems{visible + items_of_all({"Cf", "Co", "Zs"})};
  if (const auto items = script_items(simple)) return CharacterItems{*items};
  return std::nullopt;
}

std::optional<CharacterItems> unicode_property_alone(std::string_view name) {
  if (simple_name(name) == "word") return CharacterItems{word_items_alone()};
  return unicode_property(name);
}

std::optional<CharacterItems> posix_bracket(std::string_view name) {
  static constexpr std::string_view kNames[] = {"alnum", "alpha", "ascii", "blank", "cntrl",
                                                "digit", "graph", "lower", "print", "punct",
                                                "space", "upper", "word",  "xdigit"};
  if (std::find(std::begin(kNames), std::end(kNames), name) == std::end(kNames))
    return std::nullopt;
  if (name == "punct") return CharacterItems{items_of_all({"P", "S"})};
  return unicode_property(name);
}

std::string word_items_in_class() {
  return items_of_all({"L", "M", "Nd", "Nl", "Pc"}) +
         R"(\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";
}

std::string word_items_alone() { return word_items_in_class() + R"(\xb2\xb3\xb9\xbc-\xbe)"; }

}  // namespace titan::text
