#include <sentencepiece_processor.h>

#include <limits>
#include <vector>

#include "text/tokenizer/sentencepiece_check.h"
#include "text/tokenizer/sentencepiece_library.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::size_t kBlankBytes = 3;  // "▁", which may be put in front

class SentencePieceTokenizer final : public protocols::Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view model, const std::string& path) {
    const CheckedSentencePieceModel checked = check_sentencepiece_model(model, path);
    longest_text_ = std::numeric_limits<int>::max() / checked.growth - kBlankBytes;
    try {
      const auto status = processor_.LoadFromSerializedProto(checked.bytes);
      if (!status.ok()) throw RunError(status.error_message());
    } catch (const std::exception& error) {  // the library throws where it builds tries
      throw RunError(concat("no SentencePiece model: ", error.what(), " (", path, ")"));
    }
  }

  std::vector<std::int64_t> encode(std::string_view text, bool add_bos,
                                   bool add_eos) const override {
    std::string repaired;
    text = as_utf8(text, repaired);
    if (text.size() > longest_text_)
      throw RunError(concat("a text of ", text.size(), " bytes is too long to tokenize"));
    std::vector<int> pieces;
    const auto status = processor_.Encode(text, &pieces);
    if (!status.ok()) throw RunError(concat("cannot tokenize a text: ", status.error_message()));
    std::vector<std::int64_t> ids;
    ids.reserve(pieces.size() + 2);
    if (add_bos && bos_id()) ids.push_back(*bos_id());
    ids.insert(ids.end(), pieces.begin(), pieces.end());
    if (add_eos && eos_id()) ids.push_back(*eos_id());
    return ids;
  }

  // What is text decodes as it does without control pieces, which are then put where they stood.
  std::string decode(const std::vector<std::int64_t>& ids,
                     bool skip_special_tokens) const override {
    for (const std::int64_t id : ids) {
      if (id < 0 || id >= vocab_size())
        throw RunError(concat("cannot decode ", id, ": no token has this id"));
    }
    const auto decoded = processor_.DecodeIdsAsImmutableProto({ids.begin(), ids.end()});
    if (skip_special_tokens) return decoded.text();
    std::string all;
    for (const auto& piece : decoded.pieces())
      all += processor_.IsControl(static_cast<int>(piece.id())) ? piece.piece() : piece.surface();
    return all;
  }

  std::int64_t vocab_size() const override { return processor_.GetPieceSize(); }
  std::optional<std::int64_t> bos_id() const override { return known(processor_.bos_id()); }
  std::optional<std::int64_t> eos_id() const override { return known(processor_.eos_id()); }

  std::optional<std::int64_t> token_to_id(std::string_view token) const override {
    if (token.empty()) return std::nullopt;  // the library would read on
    const int id = processor_.PieceToId(token);
    return processor_.IdToPiece(id) == token ? known(id) : std::nullopt;
  }

  std::optional<std::string> id_to_token(std::int64_t id) const override {
    if (id < 0 || id >= vocab_size()) return std::nullopt;
    return processor_.IdToPiece(static_cast<int>(id));
  }

 private:
  static std::optional<std::int64_t> known(int id) {
    return id < 0 ? std::nullopt : std::optional<std::int64_t>(id);
  }

  std::size_t longest_text_ = 0;  // in bytes; the library counts those of normalised text in ints
  sentencepiece::SentencePieceProcessor processor_;
};

}  // namespace
}  // namespace titan::text

extern "C" void titan_make_sentencepiece(std::string_view model, const std::string& path,
                                         std::unique_ptr<titan::protocols::Tokenizer>& made) {
  made = std::make_unique<titan::text::SentencePieceTokenizer>(model, path);
}
