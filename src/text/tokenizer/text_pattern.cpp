#include "text/tokenizer/text_pattern.h"

#include <utility>

#include "text/tokenizer/oniguruma_pattern.h"

namespace titan::text {

Regex compile_pattern(std::string_view pattern, const JsonPlace& place) {
  try {
    return Regex(pattern);
  } catch (const RegexError& error) {
    place.fail(error.what());
  }
}

TextPattern::TextPattern(const JsonPlace& place) {
  place.expect_keys({"Regex", "String"});
  if (const auto expression = place.find("Regex")) {
    regex = compile_pattern(expression->text(), *expression);
    return;
  }
  const JsonPlace text = place.at("String");
  if (text.text().empty()) text.refuse("an empty pattern");
  literal = text.text();
}

Regex TextPattern::take_regex() && {
  return literal ? Regex(literal_pattern(*literal)) : std::move(*regex);
}

}  // namespace titan::text
