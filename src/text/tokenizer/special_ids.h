#pragma once

#include <vector>

#include "text/tokenizer/json_place.h"
#include "text/tokenizer/vocabulary.h"

namespace titan::text {

/// The ids that a tokenizer's own post-processor puts around every text.
struct SpecialIds {
  std::vector<TokenId> before;
  std::vector<TokenId> after;
};

/// Reads /post_processor: ByteLevel (which moves offsets only), TemplateProcessing for a single
/// text, RobertaProcessing, BertProcessing, or a Sequence of these. Throws RunError.
SpecialIds read_post_processor(const JsonPlace& place);

}  // namespace titan::text
