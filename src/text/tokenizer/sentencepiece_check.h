#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace titan::text {

/// A model that `libsentencepiece` may be given.
struct CheckedSentencePieceModel {
  /// Without the samples it says to try when it is loaded: the library would write of failures to
  /// std::cerr, which need not be the program's where its symbols have a scope of their own.
  std::string bytes;
  /// How many bytes normalising makes of a byte of text at most.
  std::size_t growth = 1;
};

/// Checks in a SentencePiece model (ModelProto of sentencepiece_model.proto) what the library
/// (0.1.97) takes on trust: it follows replacement rules without a look at where their table ends,
/// counts matches beyond the room it has for them, and uses up the stack for a long piece. Also
/// refuses pieces that are no UTF-8 and scores that are not finite. The rest is the library's to
/// refuse. Throws RunError naming `path`.
CheckedSentencePieceModel check_sentencepiece_model(std::string_view model,
                                                    const std::string& path);

}  // namespace titan::text
