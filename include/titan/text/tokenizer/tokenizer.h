#pragma once

#include <memory>
#include <string>

#include "titan/protocols/tokenizer.h"

namespace titan::base {
class FileSystem;
}

namespace titan::text {

/// Loads the tokenizer in `assets_folder`, the first that is there of:
/// - `tokenizer.json` (models BPE, Unigram, WordPiece and WordLevel);
/// - `vocab.json` or `vocab.txt` with `merges.txt`, byte-level BPE as GPT-2's; without, WordLevel;
/// - `tokenizer.model`, or the only `*.model`: SentencePiece, or the ranks of Llama 3 (tiktoken).
/// With the first two a `tokenizer_config.json` adds its special tokens, of which `bos_token` and
/// `eos_token` become BOS and EOS; with ranks it names these only, and a SentencePiece model has its own. `encode` yields what the
/// Python packages `tokenizers` and `sentencepiece` yield (docs/data.md says where the latter may
/// differ), bytes that are no UTF-8 replaced by U+FFFD first.
///
/// Throws RunError naming the file and the place in it when a file is missing, damaged, or asks for
/// something that is not in this build.
std::unique_ptr<protocols::Tokenizer> build_hf_tokenizer(base::FileSystem& files,
                                                         const std::string& assets_folder);

}  // namespace titan::text
