#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "titan/protocols/tokenizer.h"

namespace titan::text {

/// A tokenizer from the bytes of a SentencePiece `*.model` file (unigram, BPE, word or char), with
/// the ids of Debian's `libsentencepiece`. BOS and EOS are the model's own; control pieces, which are
/// what counts as special, are ordinary text where they stand in a text. The first time in a process
/// this loads `libtitan_sentencepiece.so`, which lies beside the program. Throws RunError when that
/// cannot be, saying why, or when the bytes are no model, naming `path`.
std::unique_ptr<protocols::Tokenizer> load_sentencepiece(std::string_view model,
                                                         const std::string& path);

}  // namespace titan::text
