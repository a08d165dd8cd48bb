#include "components/tokenizer/hf_tokenizer.h"

#include <algorithm>
#include <utility>

#include "components/tokenizer/bpe_model.h"
#include "components/tokenizer/byte_alphabet.h"
#include "components/tokenizer/utf8.h"
#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

JsonPlace root_of(const TokenizerFile& file) { return JsonPlace(file.document, file.path); }

void refuse_unsupported(const JsonPlace& root) {
  root.expect_keys({"version", "truncation", "padding", "added_tokens", "normalizer",
                    "pre_tokenizer", "post_processor", "decoder", "model"});
  if (const auto version = root.find("version"); version && version->text() != "1.0") {
    version->refuse(concat("version ", version->text()));
  }
  for (const char* step : {"truncation", "padding"}) {
    if (const auto place = root.find(step)) place->refuse(step);
  }
  if (const auto normalizer = root.find("normalizer")) {
    normalizer->refuse(concat("the normalizer ", normalizer->at("type").text()));
  }
  const JsonPlace decoder = root.at("decoder");
  if (decoder.at("type").text() != "ByteLevel")
    decoder.refuse(concat("the decoder ", decoder.at("type").text()));
}

// Gives the tokens of /added_tokens their ids.
void add_listed_tokens(const JsonPlace& root, AddedTokens& added) {
  const auto list = root.find("added_tokens");
  if (!list) return;
  list->expect_array();
  std::vector<AddedToken> tokens;
  for (std::size_t i = 0; i < list->size(); ++i) {
    tokens.push_back(AddedToken::read(
        list->at(i), AddedToken{.content = "", .normalized = true, .special = false}));
  }
  added.add(tokens);
  for (std::size_t i = 0; i < list->size(); ++i) {
    const JsonPlace id = list->at(i).at("id");
    const auto given = added.find(tokens[i].content);
    if (given && *given != id.count()) {
      tools::log_warning("The added token '", tokens[i].content, "' gets the id ", *given,
                         ", not the ", id.count(),
                         " that the file says: ids follow the vocabulary.");
    }
  }
}

bool contains(const SpecialIds& special, std::optional<std::int64_t> id) {
  const auto in = [&](const std::vector<TokenId>& ids) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  return id && (in(special.before) || in(special.after));
}

}  // namespace

struct HfTokenizer::Workspace {
  PreTokenizer::Workspace pre_tokenizer;
  BytePairEncoder::Workspace encoder;
  WordCache cache;
  std::vector<AddedTokens::Piece> pieces;
  std::vector<std::string_view> words;
  std::vector<TokenId> ids;
};

// A workspace for the length of one call; as many exist as calls have ever run at once.
class HfTokenizer::BorrowedWorkspace {
 public:
  explicit BorrowedWorkspace(const HfTokenizer& owner) : owner_(owner) {
    const std::lock_guard lock(owner_.idle_mutex_);
    if (owner_.idle_.empty()) {
      workspace_ = std::make_unique<Workspace>();
    } else {
      workspace_ = std::move(owner_.idle_.back());
      owner_.idle_.pop_back();
    }
  }
  ~BorrowedWorkspace() {
    const std::lock_guard lock(owner_.idle_mutex_);
    owner_.idle_.push_back(std::move(workspace_));
  }
  BorrowedWorkspace(const BorrowedWorkspace&) = delete;
  BorrowedWorkspace& operator=(const BorrowedWorkspace&) = delete;
  Workspace& operator*() { return *workspace_; }

 private:
  const HfTokenizer& owner_;
  std::unique_ptr<Workspace> workspace_;
};

HfTokenizer::HfTokenizer(TokenizerFile file, const TokenizerConfig& config)
    : vocabulary_(take_vocabulary(file)),
      encoder_(make_encoder(file, vocabulary_)),
      pre_tokenizer_(root_of(file).at("pre_tokenizer")),
      added_tokens_(vocabulary_) {
  const JsonPlace root = root_of(file);
  refuse_unsupported(root);
  add_listed_tokens(root, added_tokens_);
  if (const auto post_processor = root.find("post_processor")) {
    special_ids_ = read_post_processor(*post_processor);
  }
  added_tokens_.add(config.special_tokens);
  if (config.bos) bos_ = token_to_id(*config.bos);
  if (config.eos) eos_ = token_to_id(*config.eos);
  post_processor_adds_bos_ = contains(special_ids_, bos_);
  post_processor_adds_eos_ = contains(special_ids_, eos_);
}

HfTokenizer::~HfTokenizer() = default;

std::vector<std::int64_t> HfTokenizer::encode(std::string_view text, bool add_bos,
                                              bool add_eos) const {
  std::string repaired;
  if (!is_utf8(text)) {
    repaired = to_utf8_lossy(text);
    text = repaired;
  }
  BorrowedWorkspace borrowed(*this);
  Workspace& workspace = *borrowed;
  auto& ids = workspace.ids;
  ids.clear();
  if (add_bos && bos_ && !post_processor_adds_bos_) ids.push_back(static_cast<TokenId>(*bos_));
  ids.insert(ids.end(), special_ids_.before.begin(), special_ids_.before.end());
  encode_text(text, workspace);
  ids.insert(ids.end(), special_ids_.after.begin(), special_ids_.after.end());
  if (add_eos && eos_ && !post_processor_adds_eos_) ids.push_back(static_cast<TokenId>(*eos_));
  return {ids.begin(), ids.end()};
}

void HfTokenizer::encode_text(std::string_view text, Workspace& workspace) const {
  added_tokens_.split(text, workspace.pieces);
  for (const AddedTokens::Piece& piece : workspace.pieces) {
    if (piece.id) {
      workspace.ids.push_back(*piece.id);
      continue;
    }
    pre_tokenizer_.split(piece.text, workspace.pre_tokenizer, workspace.words);
    for (const std::string_view word : workspace.words) encode_word(word, workspace);
  }
}

void HfTokenizer::encode_word(std::string_view word, Workspace& workspace) const {
  auto& ids = workspace.ids;
  if (word.size() > WordCache::kMaxWord) return encoder_.encode(word, workspace.encoder, ids);
  const std::uint64_t hash = hash_bytes(word);
  const auto remembered = workspace.cache.find(word, hash);
  if (!remembered.empty()) {
    ids.insert(ids.end(), remembered.begin(), remembered.end());
    return;
  }
  const std::size_t before = ids.size();
  encoder_.encode(word, workspace.encoder, ids);
  workspace.cache.remember(word, hash, std::span(ids).subspan(before));
}

std::string HfTokenizer::decode(const std::vector<std::int64_t>& ids,
                                bool skip_special_tokens) const {
  std::string bytes;
  for (const std::int64_t id : ids) {
    const auto token = token_text(id);
    if (!token) throw RunError(concat("cannot decode ", id, ": no token has this id"));
    if (skip_special_tokens && added_tokens_.is_special(*token)) continue;
    if (auto text = bytes_of_characters(*token)) {
      bytes += *text;
    } else {
      bytes += *token;
    }
  }
  return to_utf8_lossy(bytes);
}

std::int64_t HfTokenizer::vocab_size() const {
  return std::max(vocabulary_.id_limit(), added_tokens_.id_limit());
}

std::optional<std::int64_t> HfTokenizer::token_to_id(std::string_view token) const {
  if (const auto id = added_tokens_.find(token)) return *id;
  return vocabulary_.find(token);
}

std::optional<std::string> HfTokenizer::id_to_token(std::int64_t id) const {
  if (const auto text = token_text(id)) return std::string(*text);
  return std::nullopt;
}

std::optional<std::string_view> HfTokenizer::token_text(std::int64_t id) const {
  if (id < 0 || id >= kMaxTokenIds) return std::nullopt;
  const auto token_id = static_cast<TokenId>(id);
  if (const AddedToken* added = added_tokens_.token(token_id)) return added->content;
  return vocabulary_.token(token_id);
}

}  // namespace titan::components
