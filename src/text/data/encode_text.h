#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace titan::protocols {
class Tokenizer;
}

namespace titan::text {

/// Token ids of a piece of a document: BOS in front only where the document begins, EOS behind only
/// where it ends, also with a tokenizer that adds them to everything.
std::vector<std::int64_t> encode_text(const protocols::Tokenizer& tokenizer, std::string_view text,
                                      bool begins, bool ends);

}  // namespace titan::text
