#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace titan::protocols {

/// Text to token ids and back. Implementations are immutable after construction: any number of
/// threads may call them.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Token ids of `text` (any bytes; invalid UTF-8 is allowed), with the BOS id in front and the
  /// EOS id behind when asked for and known, and unless the tokenizer's own post-processor already
  /// adds it.
  virtual std::vector<std::int64_t> encode(std::string_view text, bool add_bos,
                                           bool add_eos) const = 0;
  /// Text of `ids`; special tokens are left out when `skip_special_tokens`. Unknown ids throw
  /// RunError.
  virtual std::string decode(const std::vector<std::int64_t>& ids,
                             bool skip_special_tokens) const = 0;
  /// Number of ids: one more than the largest.
  virtual std::int64_t vocab_size() const = 0;
  virtual std::optional<std::int64_t> bos_id() const = 0;
  virtual std::optional<std::int64_t> eos_id() const = 0;
  virtual std::optional<std::int64_t> token_to_id(std::string_view token) const = 0;
  virtual std::optional<std::string> id_to_token(std::int64_t id) const = 0;
};

}  // namespace titan::protocols
