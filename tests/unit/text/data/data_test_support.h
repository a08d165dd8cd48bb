#pragma once

#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "titan/protocols/tokenizer.h"
#include "titan/text/data/text_dataset.h"

namespace titan::test {

inline void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// `{"text": "<text>"}` and a line end for each text, which needs no escapes.
inline std::string jsonl(const std::vector<std::string>& texts) {
  std::string lines;
  for (const std::string& text : texts) lines += "{\"text\": \"" + text + "\"}\n";
  return lines;
}

/// A byte is its own id; 256 is BOS, 257 EOS, each only when there.
class ByteTokenizer final : public protocols::Tokenizer {
 public:
  explicit ByteTokenizer(bool has_specials = true) : has_specials_(has_specials) {}

  std::vector<std::int64_t> encode(std::string_view text, bool add_bos,
                                   bool add_eos) const override {
    std::vector<std::int64_t> ids;
    if (add_bos && has_specials_) ids.push_back(256);
    for (const unsigned char byte : text) ids.push_back(byte);
    if (add_eos && has_specials_) ids.push_back(257);
    return ids;
  }
  std::string decode(const std::vector<std::int64_t>&, bool) const override { return {}; }
  std::int64_t vocab_size() const override { return 258; }
  std::optional<std::int64_t> bos_id() const override { return special(256); }
  std::optional<std::int64_t> eos_id() const override { return special(257); }
  std::optional<std::int64_t> token_to_id(std::string_view) const override { return std::nullopt; }
  std::optional<std::string> id_to_token(std::int64_t) const override { return std::nullopt; }

 private:
  std::optional<std::int64_t> special(std::int64_t id) const {
    if (!has_specials_) return std::nullopt;
    return id;
  }
  bool has_specials_;
};

}  // namespace titan::test
