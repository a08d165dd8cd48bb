#include "text/tokenizer/sentencepiece_tokenizer.h"

#include <limits>
#include <numeric>
#include <utility>

#include "text/tokenizer/byte_tokens.h"
#include "text/tokenizer/metaspace.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

using PieceType = SentencePieceModel::PieceType;

Vocabulary make_vocabulary(const SentencePieceModel& model) {
  std::vector<TokenId> ids(model.pieces.size());
  std::iota(ids.begin(), ids.end(), 0);
  return Vocabulary(model.pieces, std::move(ids));
}

}  // namespace

struct SentencePieceTokenizer::Workspace {
  UnigramEncoder::Workspace unigram;
  SentencePieceBpe::Workspace bpe;
  std::string text;
  std::vector<TokenId> ids;
  std::vector<std::uint32_t> ends;
};

SentencePieceTokenizer::SentencePieceTokenizer(SentencePieceModel model)
    : model_(std::move(model)),
      vocabulary_(make_vocabulary(model_)),
      user_defined_(make_piece_trie(model_, /*user_defined_only=*/true)),
      normalizer_(model_, user_defined_) {
  if (model_.algorithm == SentencePieceModel::Algorithm::kUnigram) {
    unigram_.emplace(model_);
  } else {
    bpe_.emplace(model_, user_defined_);
  }
  if (!model_.byte_fallback) return;
  for (int byte = 0; byte < 256; ++byte)
    byte_ids_.push_back(*vocabulary_.find(byte_token(static_cast<unsigned char>(byte))));
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::vector<std::int64_t> SentencePieceTokenizer::encode(std::string_view text, bool add_bos,
                                                         bool add_eos) const {
  std::string repaired;
  text = as_utf8(text, repaired);
  WorkspacePool<Workspace>::Borrowed borrowed(workspaces_);
  Workspace& workspace = *borrowed;
  normalizer_.apply(text, workspace.text);
  const std::string_view normalized = workspace.text;
  if (normalized.size() >= std::numeric_limits<std::uint32_t>::max())
    throw RunError(concat("a text of ", normalized.size(), " bytes is too long to tokenize"));
  workspace.ids.clear();
  workspace.ends.clear();
  if (unigram_) {
    unigram_->encode(normalized, workspace.unigram, workspace.ids, workspace.ends);
  } else {
    bpe_->encode(normalized, workspace.bpe, workspace.ids, workspace.ends);
  }
  std::vector<std::int64_t> ids;
  ids.reserve(workspace.ids.size() + 2);
  if (add_bos && model_.bos) ids.push_back(*model_.bos);
  std::uint32_t begin = 0;
  bool follows_unknown = false;
  for (std::size_t i = 0; i < workspace.ids.size(); ++i) {
    const std::uint32_t end = workspace.ends[i];
    const bool is_unknown = workspace.ids[i] == model_.unknown;
    if (is_unknown) {
      append_unknown(normalized.substr(begin, end - begin), follows_unknown, ids);
    } else {
      ids.push_back(workspace.ids[i]);
    }
    follows_unknown = is_unknown;
    begin = end;
  }
  if (add_eos && model_.eos) ids.push_back(*model_.eos);
  return ids;
}

// Its bytes, or one unknown piece for a run of them.
void SentencePieceTokenizer::append_unknown(std::string_view text, bool follows_unknown,
                                            std::vector<std::int64_t>& ids) const {
  if (byte_ids_.empty()) {
    if (!follows_unknown) ids.push_back(model_.unknown);
    return;
  }
  for (const char byte : text) ids.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
}

// Joins pieces to text. The blank that encoding put in front goes again.
class SentencePieceTokenizer::TextDecoder {
 public:
  explicit TextDecoder(const SentencePieceModel& model) : model_(model) {}

  void add(TokenId id, bool skip_special) {
    const std::string_view piece = model_.pieces[id];
    if (model_.types[id] == PieceType::kByte) {
      bytes_ += *byte_of_token(piece);
      return;
    }
    flush_bytes();
    if (blank_seen_ || !text_.empty()) at_beginning_ = false;
    blank_seen_ = false;
    if (model_.types[id] == PieceType::kControl) {
      if (!skip_special) written_.push_back({text_.size(), piece});
    } else if (id == model_.unknown) {
      text_ += model_.unknown_surface;
    } else {
      add_text(piece);
    }
  }

  std::string take() {
    flush_bytes();
    std::string all;
    std::size_t copied = 0;
    for (const auto& [at, piece] : written_) {
      all.append(text_, copied, at - copied).append(piece);
      copied = at;
    }
    return all.append(text_, copied);
  }

 private:
  void add_text(std::string_view piece) {
    if (at_beginning_ && (model_.add_dummy_prefix || model_.remove_extra_whitespaces) &&
        piece.starts_with(kBlankMark)) {
      piece.remove_prefix(kBlankMark.size());
      blank_seen_ = !model_.remove_extra_whitespaces;
    }
    while (!piece.empty()) {
      if (piece.starts_with(kBlankMark)) {
        text_ += ' ';
        piece.remove_prefix(kBlankMark.size());
      } else {
        text_ += piece.front();
        piece.remove_prefix(1);
      }
    }
  }

  // Byte by byte what is no UTF-8.
  void flush_bytes() {
    for (std::string_view rest = bytes_; !rest.empty();) {
      const std::size_t length = decode_utf8(rest).length;
      if (length == 0) {
        text_ += "\uFFFD";
        rest.remove_prefix(1);
      } else {
        text_ += rest.substr(0, length);
        rest.remove_prefix(length);
      }
    }
    bytes_.clear();
  }

  const SentencePieceModel& model_;
  std::string text_;
  std::string bytes_;
  // Control pieces to be written out and where: what is text decodes as without them.
  std::vector<std::pair<std::size_t, std::string_view>> written_;
  bool at_beginning_ = true;
  bool blank_seen_ = false;
};

std::string SentencePieceTokenizer::decode(const std::vector<std::int64_t>& ids,
                                           bool skip_special_tokens) const {
  TextDecoder decoder(model_);
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= vocab_size())
      throw RunError(concat("cannot decode ", id, ": no token has this id"));
    decoder.add(static_cast<TokenId>(id), skip_special_tokens);
  }
  return decoder.take();
}

std::optional<std::int64_t> SentencePieceTokenizer::token_to_id(std::string_view token) const {
  return vocabulary_.find(token);
}

std::optional<std::string> SentencePieceTokenizer::id_to_token(std::int64_t id) const {
  if (id < 0 || id >= vocab_size()) return std::nullopt;
  return std::string(model_.pieces[static_cast<std::size_t>(id)]);
}

}  // namespace titan::text
