#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/protocols/tokenizer.h"

namespace titan::components {

/// What `ids` add to the text of `prompt`, special tokens left out. Both are decoded as one text, because
/// decoders treat its beginning and its end differently (they drop a blank there), and what the prompt
/// alone decodes to is cut off. A character whose last bytes are in `ids` belongs to what they add.
std::string decode_continuation(const protocols::Tokenizer& tokenizer,
                                const std::vector<std::int64_t>& prompt,
                                const std::vector<std::int64_t>& ids);

}  // namespace titan::components
