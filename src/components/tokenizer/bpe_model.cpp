#include "components/tokenizer/bpe_model.h"

#include <string>
#include <utility>

#include "components/tokenizer/json_place.h"
#include "titan/base/errors.h"

namespace titan::components {
namespace {

BytePairEncoder::Options read_options(const JsonPlace& model, const Vocabulary& vocabulary) {
  BytePairEncoder::Options options;
  options.ignore_merges = model.flag_or("ignore_merges", false);
  options.fuse_unknown = model.flag_or("fuse_unk", false);
  if (const auto unknown = model.find("unk_token")) {
    options.unknown = vocabulary.find(unknown->text());
    if (!options.unknown) unknown->fail(concat("'", unknown->text(), "' is not in the vocabulary"));
  }
  return options;
}

// What would change the ids and is not built.
void refuse_unsupported(const JsonPlace& model) {
  if (const auto type = model.find("type"); type && type->text() != "BPE") {
    type->refuse(concat("the model ", type->text()));
  }
  model.expect_keys({"type", "dropout", "unk_token", "continuing_subword_prefix",
                     "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab",
                     "merges"});
  if (const auto dropout = model.find("dropout"); dropout && dropout->value() != 0.0)
    dropout->refuse("dropout");
  if (model.flag_or("byte_fallback", false)) model.at("byte_fallback").refuse("byte_fallback");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const auto text = model.find(affix); text && !text->text().empty()) text->refuse(affix);
  }
  for (const char* table : {"vocab", "merges"}) {
    if (!model.at(table).value().is_boolean()) model.at(table).fail("must be a table");
  }
}

MergeTable read_merges(const TokenizerFile& file, const Vocabulary& vocabulary) {
  const StringList& halves = file.merge_halves;
  const std::size_t count = halves.size() / 2;
  MergeTable merges(count);
  std::string whole;
  for (std::size_t i = 0; i < count; ++i) {
    const auto id_of = [&](std::string_view token) {
      if (const auto id = vocabulary.find(token)) return *id;
      throw RunError(concat("the merge of '", halves[2 * i], "' and '", halves[2 * i + 1],
                            "' needs the token '", token, "', which is not in the vocabulary (",
                            file.path, ": /model/merges/", i, ")"));
    };
    const TokenId left = id_of(halves[2 * i]);
    const TokenId right = id_of(halves[2 * i + 1]);
    whole.assign(halves[2 * i]).append(halves[2 * i + 1]);
    merges.set(left, right, {static_cast<std::uint32_t>(i), id_of(whole)});
  }
  return merges;
}

}  // namespace

Vocabulary take_vocabulary(TokenizerFile& file) {
  try {
    return Vocabulary(std::move(file.tokens), std::move(file.token_ids));
  } catch (const RunError& error) {
    throw RunError(concat(error.what(), " (", file.path, ": /model/vocab)"));
  }
}

BytePairEncoder make_encoder(const TokenizerFile& file, const Vocabulary& vocabulary) {
  const JsonPlace model = JsonPlace(file.document, file.path).at("model");
  refuse_unsupported(model);
  return BytePairEncoder(vocabulary, read_merges(file, vocabulary),
                         read_options(model, vocabulary));
}

}  // namespace titan::components
