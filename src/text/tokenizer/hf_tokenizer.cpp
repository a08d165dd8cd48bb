#include "text/tokenizer/hf_tokenizer.h"

#include <algorithm>
#include <utility>

#include "text/tokenizer/metaspace.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::text {
namespace {

JsonPlace root_of(const TokenizerFile& file) { return JsonPlace(file.document, file.path); }

// Padding to the longest of several texts leaves a single one as it is.
void refuse_padding(const JsonPlace& padding) {
  padding.expect_keys(
      {"strategy", "direction", "pad_to_multiple_of", "pad_id", "pad_type_id", "pad_token"});
  const JsonPlace strategy = padding.at("strategy");
  if (strategy.value() != "BatchLongest") strategy.refuse("padding to a fixed length");
  constexpr const char* kMultiple = "pad_to_multiple_of";
  if (const auto multiple = padding.find(kMultiple); multiple && multiple->count() > 1)
    multiple->refuse("padding to a multiple");
}

void refuse_unsupported(const JsonPlace& root) {
  root.expect_keys({"version", "truncation", "padding", "added_tokens", "normalizer",
                    "pre_tokenizer", "post_processor", "decoder", "model"});
  if (const auto version = root.find("version"); version && version->text() != "1.0") {
    version->refuse(concat("version ", version->text()));
  }
  if (const auto place = root.find("truncation")) place->refuse("truncation");
  if (const auto place = root.find("padding")) refuse_padding(*place);
}

// A step of the file, or one that does nothing where the file has none.
template <class Step>
Step read_step(const JsonPlace& root, const char* name) {
  const auto place = root.find(name);
  return place ? Step(*place) : Step();
}

// Adds tokens that `place` lists; a complaint names it and the vocabulary.
void add_tokens(const std::vector<AddedToken>& tokens, const std::string& place,
                const TokenizerFile& file, AddedTokens& added) {
  try {
    added.add(tokens);
  } catch (const RunError& error) {
    throw RunError(
        concat(error.what(), " (", place, "; the vocabulary is in ", file.vocabulary_place(), ")"));
  }
}

// Gives the tokens of /added_tokens their ids.
void add_listed_tokens(const TokenizerFile& file, AddedTokens& added) {
  const auto list = root_of(file).find("added_tokens");
  if (!list) return;
  list->expect_array();
  std::vector<AddedToken> tokens;
  for (std::size_t i = 0; i < list->size(); ++i) {
    tokens.push_back(AddedToken::read(
        list->at(i), AddedToken{.content = "", .normalized = true, .special = false}));
  }
  add_tokens(tokens, file.path + ": /added_tokens", file, added);
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
  Normalizer::Workspace normalizer;
  PreTokenizer::Workspace pre_tokenizer;
  WordEncoder::Workspace encoder;
  WordCache cache;
  std::vector<AddedTokens::Piece> raw_pieces;
  std::vector<AddedTokens::Piece> pieces;
  std::vector<TokenId> ids;
};

HfTokenizer::HfTokenizer(TokenizerFile file, const TokenizerConfig& config)
    : vocabulary_(take_vocabulary(file)),
      normalizer_(read_step<Normalizer>(root_of(file), "normalizer")),
      pre_tokenizer_(read_step<PreTokenizer>(root_of(file), "pre_tokenizer")),
      model_(make_model(file, vocabulary_, pre_tokenizer_.words_are_bytes())),
      decoder_(read_step<Decoder>(root_of(file), "decoder")),
      added_tokens_(vocabulary_, normalizer_) {
  const JsonPlace root = root_of(file);
  refuse_unsupported(root);
  if (pre_tokenizer_.knows_the_beginning() && normalizer_.may_drop_the_beginning()) {
    root.at("pre_tokenizer")
        .refuse("prepend_scheme 'first' behind a normalizer that removes characters");
  }
  if (pre_tokenizer_.words_are_bytes() && !model_.works_on_bytes) pre_tokenizer_.write_bytes_out();
  if (model_.may_cut_before_metaspace) pre_tokenizer_.add_cuts_before(std::string(kBlankMark));
  add_listed_tokens(file, added_tokens_);
  if (const auto post_processor = root.find("post_processor")) {
    special_ids_ = read_post_processor(*post_processor);
  }
  add_tokens(config.special_tokens, config.path, file, added_tokens_);
  if (decoder_.refusal()) {
    tools::log_warning("The tokenizer can encode but not decode, which generate and samples need: ",
                       *decoder_.refusal());
  }
  if (config.bos) bos_ = token_to_id(*config.bos);
  if (config.eos) eos_ = token_to_id(*config.eos);
  post_processor_adds_bos_ = contains(special_ids_, bos_);
  post_processor_adds_eos_ = contains(special_ids_, eos_);
}

HfTokenizer::~HfTokenizer() = default;

std::vector<std::int64_t> HfTokenizer::encode(std::string_view text, bool add_bos,
                                              bool add_eos) const {
  std::string repaired;
  text = as_utf8(text, repaired);
  // What a long text needs, many times its size, is not kept for the next.
  constexpr std::size_t kLongText = 1 << 20;
  if (text.size() > kLongText) {
    Workspace workspace;
    return encode(text, add_bos, add_eos, workspace);
  }
  WorkspacePool<Workspace>::Borrowed borrowed(workspaces_);
  return encode(text, add_bos, add_eos, *borrowed);
}

std::vector<std::int64_t> HfTokenizer::encode(std::string_view text, bool add_bos, bool add_eos,
                                              Workspace& workspace) const {
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
  added_tokens_.split_raw(text, workspace.raw_pieces);
  for (const AddedTokens::Piece& piece : workspace.raw_pieces) {
    if (piece.id) {
      workspace.ids.push_back(*piece.id);
    } else {
      encode_piece(piece.text, piece.text.data() == text.data(), workspace);
    }
  }
}

void HfTokenizer::encode_piece(std::string_view text, bool is_beginning,
                               Workspace& workspace) const {
  text = normalizer_.apply(text, workspace.normalizer);
  added_tokens_.split_normalized(text, workspace.pieces);
  for (const AddedTokens::Piece& piece : workspace.pieces) {
    if (piece.id) {
      workspace.ids.push_back(*piece.id);
      continue;
    }
    pre_tokenizer_.split(piece.text, is_beginning && piece.text.data() == text.data(),
                         workspace.pre_tokenizer,
                         [&](std::string_view word) { encode_word(word, workspace); });
  }
}

void HfTokenizer::encode_word(std::string_view word, Workspace& workspace) const {
  auto& ids = workspace.ids;
  if (word.size() > WordCache::kMaxWord)
    return model_.encoder->encode(word, workspace.encoder, ids);
  const std::uint64_t hash = hash_bytes(word);
  const auto remembered = workspace.cache.find(word, hash);
  if (!remembered.empty()) {
    ids.insert(ids.end(), remembered.begin(), remembered.end());
    return;
  }
  const std::size_t before = ids.size();
  model_.encoder->encode(word, workspace.encoder, ids);
  workspace.cache.remember(word, hash, std::span(ids).subspan(before));
}

std::string HfTokenizer::decode(const std::vector<std::int64_t>& ids,
                                bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  for (const std::int64_t id : ids) {
    const auto token = token_text(id);
    if (!token) throw RunError(concat("cannot decode ", id, ": no token has this id"));
    if (skip_special_tokens && added_tokens_.is_special(*token)) continue;
    tokens.emplace_back(*token);
  }
  return decoder_.decode(std::move(tokens));
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
  if (const auto added = added_tokens_.text(token_id)) return added;
  return vocabulary_.token(token_id);
}

}  // namespace titan::text
