#pragma once

#include <memory>

#include "text/tokenizer/tokenizer_file.h"
#include "text/tokenizer/vocabulary.h"
#include "text/tokenizer/word_encoder.h"

namespace titan::text {

/// Makes the vocabulary of /model out of the lists of `file`, which it takes. Throws RunError on a
/// token or an id that comes twice.
Vocabulary take_vocabulary(TokenizerFile& file);

/// The encoder of /model and what the pre-tokenizer should know of it.
struct Model {
  std::unique_ptr<WordEncoder> encoder;
  /// The encoder takes bytes in place of the characters that stand for them.
  bool works_on_bytes = false;
  /// Nothing merges across the place between another character and "▁", so that words may be cut
  /// there.
  bool may_cut_before_metaspace = false;
};

/// Makes the model: BPE, Unigram, WordPiece or WordLevel; takes the scores of `file`.
/// `words_are_bytes`: the pre-tokenizer can hand out words as bytes, if the encoder takes them. Throws
/// RunError when it is another one, or a merge names a token that is not in `vocabulary`, which must
/// outlive the encoder.
Model make_model(TokenizerFile& file, const Vocabulary& vocabulary, bool words_are_bytes);

}  // namespace titan::text
