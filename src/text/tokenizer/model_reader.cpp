#include "text/tokenizer/model_reader.h"

#include <string>
#include <utility>

#include "text/tokenizer/byte_pair_encoder.h"
#include "text/tokenizer/json_place.h"
#include "text/tokenizer/metaspace.h"
#include "text/tokenizer/unigram_encoder.h"
#include "text/tokenizer/word_piece_encoder.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

/// The WordLevel model: a word is one token, or the unknown token.
class WordLevelEncoder final : public WordEncoder {
 public:
  /// `vocabulary` must outlive the encoder.
  WordLevelEncoder(const Vocabulary& vocabulary, std::string unknown)
      : vocabulary_(vocabulary),
        unknown_(std::move(unknown)),
        unknown_id_(vocabulary.find(unknown_)) {}

  /// Throws RunError on an unknown word when the vocabulary has no unknown token.
  void encode(std::string_view word, Workspace&, std::vector<TokenId>& ids) const override {
    constexpr std::size_t kShown = 60;
    if (const auto id = vocabulary_.find(word)) {
      ids.push_back(*id);
    } else if (unknown_id_) {
      ids.push_back(*unknown_id_);
    } else {
      throw RunError(concat("the word '", word.substr(0, kShown), word.size() > kShown ? "..." : "",
                            "' is not in the vocabulary, nor is '", unknown_,
                            "', which would stand for it"));
    }
  }

 private:
  const Vocabulary& vocabulary_;
  std::string unknown_;
  std::optional<TokenId> unknown_id_;
};

BytePairEncoder::Options read_options(const JsonPlace& model, const Vocabulary& vocabulary) {
  BytePairEncoder::Options options;
  options.ignore_merges = model.flag_or("ignore_merges", false);
  options.fuse_unknown = model.flag_or("fuse_unk", false);
  options.byte_fallback = model.flag_or("byte_fallback", false);
  if (const auto suffix = model.find("end_of_word_suffix")) options.word_end = suffix->text();
  if (const auto unknown = model.find("unk_token")) {
    options.unknown = vocabulary.find(unknown->text());
    if (!options.unknown) unknown->fail(concat("'", unknown->text(), "' is not in the vocabulary"));
  }
  return options;
}

void expect_table(const JsonPlace& model, const char* table) {
  if (!model.at(table).value().is_boolean()) model.at(table).fail("must be a table");
}

// What would change the ids and is not built.
void refuse_unsupported(const JsonPlace& model) {
  model.expect_keys({"type", "dropout", "unk_token", "continuing_subword_prefix",
                     "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab",
                     "merges"});
  if (const auto dropout = model.find("dropout"); dropout && dropout->value() != 0.0)
    dropout->refuse("dropout");
  constexpr const char* kPrefix = "continuing_subword_prefix";
  if (const auto text = model.find(kPrefix); text && !text->text().empty()) text->refuse(kPrefix);
  expect_table(model, "vocab");
  expect_table(model, "merges");
}

// Whether "▁" stands in `token` behind another character.
bool has_inner_metaspace(std::string_view token) {
  for (std::size_t at = 1; (at = token.find(kBlankMark, at)) != std::string_view::npos; ++at) {
    if (!token.substr(0, at).ends_with(kBlankMark)) return true;
  }
  return false;
}

struct Merges {
  MergeTable table;
  bool cross_metaspaces = false;
};

Merges read_merges(const TokenizerFile& file, const Vocabulary& vocabulary) {
  const StringList& halves = file.merge_halves;
  const std::size_t count = halves.size() / 2;
  Merges merges{MergeTable(count)};
  std::string whole;
  for (std::size_t i = 0; i < count; ++i) {
    const auto id_of = [&](std::string_view token) {
      if (const auto id = vocabulary.find(token)) return *id;
      throw RunError(concat("the merge of '", halves[2 * i], "' and '", halves[2 * i + 1],
                            "' needs the token '", token, "', which is not in the vocabulary (",
                            file.merge_place(i), ")"));
    };
    const TokenId left = id_of(halves[2 * i]);
    const TokenId right = id_of(halves[2 * i + 1]);
    whole.assign(halves[2 * i]).append(halves[2 * i + 1]);
    const auto rank =
        file.merge_ranks.empty() ? static_cast<std::uint32_t>(i) : file.merge_ranks[i];
    merges.table.set(left, right, {rank, id_of(whole)});
    merges.cross_metaspaces = merges.cross_metaspaces || has_inner_metaspace(whole);
  }
  return merges;
}

Model make_bpe(const TokenizerFile& file, const JsonPlace& place, const Vocabulary& vocabulary,
               bool words_are_bytes) {
  refuse_unsupported(place);
  BytePairEncoder::Options options = read_options(place, vocabulary);
  Model model;
  model.works_on_bytes = words_are_bytes && !options.byte_fallback;
  options.works_on_bytes = model.works_on_bytes;
  Merges merges = read_merges(file, vocabulary);
  // The unknown token never waits across "▁" when that has a token.
  model.may_cut_before_metaspace = !words_are_bytes && !merges.cross_metaspaces &&
                                   !options.ignore_merges && options.word_end.empty() &&
                                   vocabulary.find(kBlankMark);
  if (options.unknown) {
    // A merge may name the unknown token itself, whose text tells nothing of what it stands for.
    const auto text = vocabulary.token(*options.unknown);
    for (std::size_t i = 0; i < file.merge_halves.size(); ++i) {
      if (file.merge_halves[i] == *text) model.may_cut_before_metaspace = false;
    }
  }
  model.encoder =
      std::make_unique<BytePairEncoder>(vocabulary, std::move(merges.table), std::move(options));
  return model;
}

Model make_word_level(const JsonPlace& place, const Vocabulary& vocabulary) {
  place.expect_keys({"type", "vocab", "unk_token"});
  expect_table(place, "vocab");
  Model model;
  model.encoder = std::make_unique<WordLevelEncoder>(vocabulary, place.at("unk_token").text());
  return model;
}

Model make_word_piece(const JsonPlace& place, const Vocabulary& vocabulary) {
  place.expect_keys(
      {"type", "vocab", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word"});
  expect_table(place, "vocab");
  WordPieceEncoder::Options options;
  if (const auto unknown = place.find("unk_token")) options.unknown = unknown->text();
  if (const auto prefix = place.find("continuing_subword_prefix")) options.prefix = prefix->text();
  if (const auto most = place.find("max_input_chars_per_word"))
    options.max_characters = most->count();
  Model model;
  model.encoder = std::make_unique<WordPieceEncoder>(vocabulary, std::move(options));
  return model;
}

Model make_unigram(TokenizerFile& file, const JsonPlace& place, const Vocabulary& vocabulary) {
  place.expect_keys({"type", "vocab", "unk_id", "byte_fallback"});
  const JsonPlace pieces = place.at("vocab");
  if (pieces.value() != kPiecesMark) pieces.fail("must be a list of tokens and scores");
  if (file.scores.empty()) pieces.fail("is empty");
  UnigramEncoder::Options options;
  options.byte_fallback = place.flag_or("byte_fallback", false);
  if (const auto unknown = place.find("unk_id")) {
    if (unknown->count() >= file.scores.size()) unknown->fail("no token has this id");
    options.unknown = static_cast<TokenId>(unknown->count());
  }
  Model model;
  model.encoder = std::make_unique<UnigramEncoder>(vocabulary, std::move(file.scores), options);
  return model;
}

// Files from before tokenizers 0.9 do not say the type.
std::string model_type(const JsonPlace& place) {
  if (const auto type = place.find("type")) return type->text();
  if (place.find("merges")) return "BPE";
  if (place.find("unk_id")) return "Unigram";
  return place.find("continuing_subword_prefix") ? "WordPiece" : "WordLevel";
}

}  // namespace

Vocabulary take_vocabulary(TokenizerFile& file) {
  try {
    return Vocabulary(std::move(file.tokens), std::move(file.token_ids));
  } catch (const RunError& error) {
    throw RunError(concat(error.what(), " (", file.vocabulary_place(), ")"));
  }
}

Model make_model(TokenizerFile& file, const Vocabulary& vocabulary, bool words_are_bytes) {
  const JsonPlace place = JsonPlace(file.document, file.path).at("model");
  const std::string type = model_type(place);
  if (type == "BPE") return make_bpe(file, place, vocabulary, words_are_bytes);
  if (type == "Unigram") return make_unigram(file, place, vocabulary);
  if (type == "WordPiece") return make_word_piece(place, vocabulary);
  if (type == "WordLevel") return make_word_level(place, vocabulary);
  place.at("type").refuse(concat("the model ", type));
}

}  // namespace titan::text
