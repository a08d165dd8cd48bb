#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/added_tokens.h"
#include "text/tokenizer/decoder.h"
#include "text/tokenizer/model_reader.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/pre_tokenizer.h"
#include "text/tokenizer/special_ids.h"
#include "text/tokenizer/tokenizer_config.h"
#include "text/tokenizer/tokenizer_file.h"
#include "text/tokenizer/vocabulary.h"
#include "text/tokenizer/word_cache.h"
#include "text/tokenizer/workspace_pool.h"
#include "titan/protocols/tokenizer.h"

namespace titan::text {

/// A tokenizer in the steps of the `tokenizers` package: added tokens are cut out of the text, the
/// rest is normalized and cut into words, words become ids, special ids go around.
class HfTokenizer final : public protocols::Tokenizer {
 public:
  /// Throws RunError when `file` asks for something that is not in this build, or contradicts
  /// itself.
  HfTokenizer(TokenizerFile file, const TokenizerConfig& config);
  ~HfTokenizer() override;

  std::vector<std::int64_t> encode(std::string_view text, bool add_bos,
                                   bool add_eos) const override;
  std::string decode(const std::vector<std::int64_t>& ids, bool skip_special_tokens) const override;
  std::int64_t vocab_size() const override;
  std::optional<std::int64_t> bos_id() const override { return bos_; }
  std::optional<std::int64_t> eos_id() const override { return eos_; }
  std::optional<std::int64_t> token_to_id(std::string_view token) const override;
  std::optional<std::string> id_to_token(std::int64_t id) const override;

 private:
  /// What one running `encode` needs for itself: buffers and a word cache. Kept and handed from
  /// call to call.
  struct Workspace;

  std::optional<std::string_view> token_text(std::int64_t id) const;
  std::vector<std::int64_t> encode(std::string_view text, bool add_bos, bool add_eos,
                                   Workspace& workspace) const;
  void encode_text(std::string_view text, Workspace& workspace) const;
  void encode_piece(std::string_view text, bool is_beginning, Workspace& workspace) const;
  void encode_word(std::string_view word, Workspace& workspace) const;

  Vocabulary vocabulary_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  Model model_;
  Decoder decoder_;
  AddedTokens added_tokens_;
  SpecialIds special_ids_;
  std::optional<std::int64_t> bos_;
  std::optional<std::int64_t> eos_;
  bool post_processor_adds_bos_ = false;
  bool post_processor_adds_eos_ = false;

  mutable WorkspacePool<Workspace> workspaces_;
};

}  // namespace titan::text
