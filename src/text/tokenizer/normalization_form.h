#pragma once

#include <bitset>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace titan::text {

/// Brings text into a Unicode normalisation form (Unicode Standard Annex 15) with the tables of
/// Unicode 12.0, which the `tokenizers` package uses for this: characters that came later keep as
/// they are, and their combining class counts as 0. Immutable.
class NormalizationForm {
 public:
  enum class Kind { kNfc, kNfd, kNfkc, kNfkd };

  explicit NormalizationForm(Kind kind);

  /// Puts the form of `text` (UTF-8) into `out`; false, with `out` untouched, when `text` has that
  /// form already. Time: O(n), O(n log n) for a run of n combining marks.
  bool apply(std::string_view text, std::string& out) const;

 private:
  // Above this no character decomposes, combines or has a combining class.
  static constexpr char32_t kTableEnd = 0x30000;
  using Table = std::bitset<kTableEnd>;
  struct Mark {
    char32_t value;
    int combining_class;
  };

  bool is_inert(char32_t value) const { return value >= kTableEnd || (*inert_)[value]; }
  void decompose(char32_t value, std::vector<Mark>& out) const;
  void compose(std::vector<Mark>& marks) const;
  void append_segment(std::string_view text, std::vector<Mark>& marks, std::string& out) const;
  void fill_tables();

  bool composes_;
  int options_;
  /// Stays itself and never combines with what stands before it: text can be cut in front of it.
  std::unique_ptr<Table> inert_ = std::make_unique<Table>();
  /// The second half of a composition.
  std::unique_ptr<Table> combines_ = std::make_unique<Table>();
};

}  // namespace titan::text
