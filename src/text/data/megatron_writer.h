#pragma once

#include <string>
#include <vector>

#include "text/data/token_part.h"

namespace titan::text {

/// Puts parts together as `output`.bin and `output`.idx (format: megatron_index.h), each under its
/// name only when complete and durable, and removes the parts.
void assemble_megatron(base::FileSystem& files, const std::string& output,
                       const std::vector<TokenPart>& parts);

}  // namespace titan::text
