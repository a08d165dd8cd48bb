#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer/json_place.h"

namespace titan::text {

/// The character that stands for a blank in many vocabularies, U+2581.
inline constexpr std::string_view kBlankMark = "\u2581";

/// The options of a Metaspace pre-tokeniser or decoder: blanks are written as another character,
/// "▁" (U+2581) by custom, and words begin with it.
struct Metaspace {
  enum class Prefix { kAlways, kFirst, kNever };

  /// Throws RunError.
  explicit Metaspace(const JsonPlace& place);

  std::string replacement;
  Prefix prefix = Prefix::kAlways;
  bool split = true;
};

}  // namespace titan::text
