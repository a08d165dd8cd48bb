#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace titan::text {

/// A set of Unicode scalar values, for what PCRE2 10.42 cannot write as a class: intersections, and
/// complements within a class.
class CharacterSet {
 public:
  CharacterSet() = default;
  /// The characters that `items`, what stands between the brackets of a PCRE2 class, match. The items
  /// must be valid; none make the empty set.
  static CharacterSet of_items(std::string_view items);

  CharacterSet complement() const;
  CharacterSet united(const CharacterSet& other) const;
  CharacterSet intersected(const CharacterSet& other) const;

  bool empty() const { return ranges_.empty(); }
  /// The set as items of a PCRE2 class.
  std::string items() const;

 private:
  struct Range {
    std::uint32_t first;
    std::uint32_t last;
  };
  std::vector<Range> ranges_;  // ascending, with gaps between
};

}  // namespace titan::text
