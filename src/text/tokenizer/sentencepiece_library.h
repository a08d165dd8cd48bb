#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "titan/protocols/tokenizer.h"

namespace titan::text {

/// Makes a tokenizer from the bytes of a SentencePiece `*.model` file, `path` in messages. Throws
/// RunError.
using MakeSentencePieceFn = void(std::string_view model, const std::string& path,
                                 std::unique_ptr<protocols::Tokenizer>& made);

/// The function of that type which `libtitan_sentencepiece.so` exports. `libsentencepiece`, which it
/// is linked to, is loaded with it.
inline constexpr const char* kMakeSentencePieceName = "titan_make_sentencepiece";

}  // namespace titan::text
