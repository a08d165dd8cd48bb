#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/sentencepiece_bpe.h"
#include "text/tokenizer/sentencepiece_model.h"
#include "text/tokenizer/sentencepiece_normalizer.h"
#include "text/tokenizer/unigram_encoder.h"
#include "text/tokenizer/vocabulary.h"
#include "text/tokenizer/workspace_pool.h"
#include "titan/protocols/tokenizer.h"

namespace titan::text {

/// A tokenizer from a SentencePiece `*.model` file (unigram or BPE), with the ids of the Python
/// package `sentencepiece`. BOS and EOS are the model's own; control pieces that stand in a text
/// are ordinary text, as there.
class SentencePieceTokenizer final : public protocols::Tokenizer {
 public:
  /// Throws RunError when the model needs what is not in this build.
  explicit SentencePieceTokenizer(SentencePieceModel model);
  ~SentencePieceTokenizer() override;

  std::vector<std::int64_t> encode(std::string_view text, bool add_bos,
                                   bool add_eos) const override;
  /// Control pieces are what counts as special. Bytes that are no UTF-8 become U+FFFD.
  std::string decode(const std::vector<std::int64_t>& ids, bool skip_special_tokens) const override;
  std::int64_t vocab_size() const override { return std::ssize(model_.types); }
  std::optional<std::int64_t> bos_id() const override { return model_.bos; }
  std::optional<std::int64_t> eos_id() const override { return model_.eos; }
  std::optional<std::int64_t> token_to_id(std::string_view token) const override;
  std::optional<std::string> id_to_token(std::int64_t id) const override;

 private:
  struct Workspace;
  class TextDecoder;

  void append_unknown(std::string_view text, bool follows_unknown,
                      std::vector<std::int64_t>& ids) const;

  SentencePieceModel model_;
  Vocabulary vocabulary_;
  PieceTrie user_defined_;
  SentencePieceNormalizer normalizer_;
  std::optional<UnigramEncoder> unigram_;
  std::optional<SentencePieceBpe> bpe_;
  std::vector<TokenId> byte_ids_;  // by byte; empty without byte fallback
  mutable WorkspacePool<Workspace> workspaces_;
};

}  // namespace titan::text
