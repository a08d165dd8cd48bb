#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace titan::protocols {
class Tokenizer;

/// Token ids of a piece of a document: BOS in front only where the document begins, EOS behind only
/// where it ends, also with a tokenizer that writes them around everything. A text to be continued
/// begins a document and does not end it.
std::vector<std::int64_t> encode_text(const Tokenizer& tokenizer, std::string_view text,
                                      bool begins, bool ends);

}  // namespace titan::protocols
