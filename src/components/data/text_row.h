#pragma once

#include <string>
#include <string_view>

namespace titan::components {

/// Reads one row of a JSONL file: a JSON object whose member `text` is a string (the last one, when
/// it comes twice). Throws RunError saying what is wrong, without the place.
void parse_text_row(std::string_view line, std::string& text);

}  // namespace titan::components
