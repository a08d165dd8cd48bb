#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/json_place.h"
#include "text/tokenizer/regex.h"

namespace titan::text {

/// Rewrites text before it is cut into words: /normalizer of a tokenizer.json. Immutable; each
/// thread brings its own Workspace.
class Normalizer {
 public:
  class Workspace {
    friend class Normalizer;
    RegexWorkspace regex_;
    std::string text_;
    std::string next_;
  };

  /// Leaves every text as it is.
  Normalizer() = default;
  /// Reads NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Nmt, Prepend, Replace, ByteLevel,
  /// BertNormalizer, Precompiled or a Sequence of these. Throws RunError.
  explicit Normalizer(const JsonPlace& place);

  bool empty() const { return steps_.empty(); }
  /// The rewritten text: `text` itself (UTF-8) or a view into `workspace`, good until the next
  /// call. Throws RunError when the text would grow beyond reason.
  std::string_view apply(std::string_view text, Workspace& workspace) const;
  /// Whether the first characters of a text can vanish, after which the `tokenizers` package no
  /// longer takes what follows for the beginning of the text.
  bool may_drop_the_beginning() const { return may_drop_the_beginning_; }

 private:
  /// Puts the rewritten text into the string; false when nothing changes.
  using Step = std::function<bool(std::string_view, RegexWorkspace&, std::string&)>;

  void add(const JsonPlace& place);
  void add_bert(const JsonPlace& place);
  void add_precompiled(const JsonPlace& place);
  bool add_simple(const std::string& type);
  void add_strip(const JsonPlace& place);
  void add_replace(const JsonPlace& place);

  std::vector<Step> steps_;
  bool may_drop_the_beginning_ = false;
};

}  // namespace titan::text
