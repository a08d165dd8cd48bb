#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace titan::text {

/// SentencePiece's table of replacement rules (`precompiled_charsmap`) as the `tokenizers` package
/// applies it: grapheme clusters of up to five bytes, else characters, are replaced as wholes by what
/// belongs to the shortest rule that they begin with. Immutable.
class PrecompiledCharsmap {
 public:
  /// `base64` is what the file holds. Throws RunError "..." without a place when it is damaged.
  explicit PrecompiledCharsmap(std::string_view base64);

  /// Puts the rewritten `text` (UTF-8) into `out`; false, with `out` untouched, when no rule applies.
  bool apply(std::string_view text, std::string& out) const;

 private:
  /// The replacement for what begins with a rule; its data is null when none does.
  std::string_view replacement(std::string_view piece) const;

  std::vector<std::uint32_t> units_;  // a double-array trie (Darts-clone)
  std::string texts_;                 // each ends with a zero byte
};

}  // namespace titan::text
