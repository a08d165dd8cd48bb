#pragma once

#include "components/tokenizer/byte_pair_encoder.h"
#include "components/tokenizer/tokenizer_file.h"
#include "components/tokenizer/vocabulary.h"

namespace titan::components {

/// Makes the vocabulary of /model out of the lists of `file`, which it takes. Throws RunError on a
/// token or an id that comes twice.
Vocabulary take_vocabulary(TokenizerFile& file);

/// Makes the encoder of /model. Throws RunError when it is no BPE model of ours, or a merge names a
/// token that is not in `vocabulary`, which must outlive the encoder.
BytePairEncoder make_encoder(const TokenizerFile& file, const Vocabulary& vocabulary);

}  // namespace titan::components
