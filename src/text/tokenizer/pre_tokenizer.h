#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/json_place.h"
#include "text/tokenizer/metaspace.h"
#include "text/tokenizer/regex.h"
#include "text/tokenizer/split_behavior.h"

namespace titan::text {

/// Cuts text into the words that the model encodes one by one. Immutable but for
/// `add_cuts_before`; each thread brings its own Workspace.
class PreTokenizer {
 public:
  class Workspace {
    friend class PreTokenizer;
    RegexWorkspace regex_;
  };

  /// Leaves every text in one piece.
  PreTokenizer() = default;
  /// Reads /pre_tokenizer: ByteLevel, Split, Digits, Whitespace, WhitespaceSplit, Punctuation,
  /// CharDelimiterSplit, BertPreTokenizer, Metaspace or a Sequence of these. Throws RunError.
  explicit PreTokenizer(const JsonPlace& place);

  /// Whether words end as bytes that the model must write in the byte alphabet itself; true when
  /// the last stage is ByteLevel and `write_bytes_out` was not called.
  bool words_are_bytes() const { return words_are_bytes_; }
  /// Has `split` yield words in the byte alphabet.
  void write_bytes_out();
  /// Cuts in front of each `character` that follows another one. For models whose merges never
  /// reach across there: shorter words are faster.
  void add_cuts_before(const std::string& character);
  /// Whether the beginning of a text is treated differently from the beginning of a later piece.
  bool knows_the_beginning() const;

  /// Takes a word, which is good until it returns.
  using OnWord = std::function<void(std::string_view)>;

  /// Calls `on_word` for the words of `text` in order; none is empty. A long text has more of them than
  /// should be held. `is_beginning`: nothing stands before `text`, not even an added token.
  void split(std::string_view text, bool is_beginning, Workspace& workspace,
             const OnWord& on_word) const;

 private:
  struct Stage {
    enum class Kind { kSplit, kPrefixBlank, kByteCharacters, kMetaspace, kCutBefore };
    Kind kind = Kind::kSplit;
    std::optional<Regex> pattern = std::nullopt;
    SplitBehavior behavior = SplitBehavior::kIsolated;
    bool invert = false;  // what lies between the matches counts as the match
    std::optional<Metaspace> metaspace = std::nullopt;
    std::string character = {};
  };

  void add(const JsonPlace& place);
  void add_split(const JsonPlace& place);
  void add_byte_level(const JsonPlace& place);
  void add_metaspace(const JsonPlace& place);
  void add_pattern(std::string_view pattern, SplitBehavior behavior, const JsonPlace& place);
  void split_from(std::size_t stage, std::string_view text, bool is_beginning, Workspace& workspace,
                  const OnWord& on_word) const;

  std::vector<Stage> stages_;
  bool words_are_bytes_ = false;
};

}  // namespace titan::text
