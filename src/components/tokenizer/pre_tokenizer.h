#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "components/tokenizer/json_place.h"
#include "components/tokenizer/regex.h"

namespace titan::components {

/// Cuts text into the words that the model encodes one by one. Immutable; each thread brings its
/// own Workspace.
class PreTokenizer {
 public:
  class Workspace {
    friend class PreTokenizer;
    RegexWorkspace regex_;
    std::vector<std::string_view> pieces_;
    std::deque<std::string> prefixed_;  // copies of texts that got a blank in front
  };

  /// Reads /pre_tokenizer: a Sequence of Splits that ends with ByteLevel, or ByteLevel alone.
  /// Throws RunError.
  explicit PreTokenizer(const JsonPlace& place);

  /// Replaces `words` by the words of `text` in order; none is empty. They point into `text` or
  /// `workspace`.
  void split(std::string_view text, Workspace& workspace,
             std::vector<std::string_view>& words) const;

 private:
  /// What becomes of the matches of a pattern.
  enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

  struct Stage {
    std::optional<Regex> pattern;  // nothing: the text is not cut here
    Behavior behavior = Behavior::kIsolated;
    bool invert = false;            // what lies between the matches counts as the match
    bool add_prefix_space = false;  // to a text that begins without one
  };

  /// A match of the pattern or what lies between two.
  struct Part {
    Span span;
    bool is_match;
  };

  void add_split(const JsonPlace& place);
  void add_byte_level(const JsonPlace& place);
  static std::vector<Part> merge_parts(std::vector<Part> parts, Behavior behavior);
  static void cut(const Stage& stage, std::string_view text, RegexWorkspace& workspace,
                  std::vector<std::string_view>& pieces);

  std::vector<Stage> stages_;
};

}  // namespace titan::components
