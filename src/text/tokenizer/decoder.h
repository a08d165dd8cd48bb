#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "text/tokenizer/json_place.h"

namespace titan::text {

/// Joins tokens to text: /decoder of a tokenizer.json. Immutable.
class Decoder {
 public:
  /// Joins tokens with blanks, as the `tokenizers` package does where the file has no decoder.
  Decoder() = default;
  /// Reads ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, BPEDecoder, WordPiece or a
  /// Sequence of these. What is wrong with another one matters to decoding only.
  explicit Decoder(const JsonPlace& place);

  /// Why nothing can be decoded.
  const std::optional<std::string>& refusal() const { return refusal_; }

  /// Throws RunError where there is a refusal.
  std::string decode(std::vector<std::string> tokens) const;

 private:
  using Tokens = std::vector<std::string>;
  using Step = std::function<void(Tokens&)>;

  void add(const JsonPlace& place);
  void add_replace(const JsonPlace& place);
  void add_strip(const JsonPlace& place);
  void add_metaspace(const JsonPlace& place);
  void add_word_ends(const JsonPlace& place);
  void add_word_pieces(const JsonPlace& place);

  std::vector<Step> steps_;
  std::optional<std::string> refusal_;
  bool joins_with_blanks_ = true;
};

}  // namespace titan::text
