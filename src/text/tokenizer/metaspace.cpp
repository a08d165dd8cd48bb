#include "text/tokenizer/metaspace.h"

#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {

Metaspace::Metaspace(const JsonPlace& place) {
  place.expect_keys(
      {"type", "replacement", "str_rep", "prepend_scheme", "add_prefix_space", "split"});
  const JsonPlace character = place.at("replacement");
  replacement = character.text();
  if (replacement.empty() || decode_utf8(replacement).length != replacement.size())
    character.fail("must be one character");
  split = place.flag_or("split", true);
  // Files written before tokenizers 0.15 have add_prefix_space alone.
  prefix = place.flag_or("add_prefix_space", true) ? Prefix::kAlways : Prefix::kNever;
  const auto scheme = place.find("prepend_scheme");
  if (!scheme) return;
  const std::string& name = scheme->text();
  if (name == "always") {
    prefix = Prefix::kAlways;
  } else if (name == "first") {
    prefix = Prefix::kFirst;
  } else if (name == "never") {
    prefix = Prefix::kNever;
  } else {
    scheme->fail(concat("unknown prepend_scheme '", name, "'"));
  }
}

}  // namespace titan::text
