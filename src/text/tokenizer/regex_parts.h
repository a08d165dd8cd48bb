#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "text/tokenizer/regex.h"
#include "text/tokenizer/utf8.h"

namespace titan::text {

/// Calls `on_part(span, is_match)` for every match of `pattern` in `text` and every gap between
/// two, in order. After an empty match that touches the one before it the search goes on one
/// character later.
template <class OnPart>
void for_each_part(const Regex& pattern, std::string_view text, RegexWorkspace& workspace,
                   OnPart&& on_part) {
  std::size_t covered = 0;
  std::optional<std::size_t> last_end;
  std::size_t from = 0;
  Span match;
  while (from <= text.size() && pattern.search(text, from, workspace, match)) {
    if (match.begin == match.end && last_end == match.end) {
      from += std::max<std::size_t>(1, decode_utf8(text.substr(from)).length);
      continue;
    }
    from = match.end;
    last_end = match.end;
    if (covered != match.begin) on_part(Span{covered, match.begin}, false);
    on_part(match, true);
    covered = match.end;
  }
  if (covered != text.size()) on_part(Span{covered, text.size()}, false);
}

}  // namespace titan::text
