#pragma once

#include <memory>
#include <string>

#include "titan/protocols/tokenizer.h"

namespace titan::base {
class FileSystem;
}

namespace titan::components {

/// Loads the Hugging Face tokenizer in `assets_folder`: `tokenizer.json` (byte-level BPE) and, when
/// there, `tokenizer_config.json`, whose special tokens are added and whose `bos_token` and
/// `eos_token` become the BOS and EOS ids. `encode` yields what the Python package `tokenizers`
/// yields, bytes that are no UTF-8 replaced by U+FFFD first.
///
/// Throws RunError naming the file and the place in it (a JSON pointer) when a file is missing,
/// damaged, or asks for something that is not in this build.
std::unique_ptr<protocols::Tokenizer> build_hf_tokenizer(base::FileSystem& files,
                                                         const std::string& assets_folder);

}  // namespace titan::components
