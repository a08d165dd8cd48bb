#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/tokenizer/tokenizer_file.h"

namespace titan::text {

/// The bytes of a file and what to call it.
struct NamedBytes {
  std::string path;
  std::string_view bytes;
};

/// A tokenizer from `vocab.json` (tokens and their ids) or `vocab.txt` (a token per line, its id
/// the number of the line from 0; blank lines count and hold none). With `merges`, a `merges.txt`
/// (two tokens per line; blank lines and those that begin with # count for nothing), byte-level BPE
/// as GPT-2's; without, whole texts are words of the vocabulary or "[UNK]". Throws RunError naming
/// file and line.
TokenizerFile parse_vocabulary_files(const NamedBytes& vocabulary,
                                     const std::optional<NamedBytes>& merges);

/// Whether the tokens look like those of a WordPiece model (BERT's `vocab.txt`), which these files do
/// not tell from whole words.
bool looks_like_word_pieces(const TokenizerFile& file);

}  // namespace titan::text
