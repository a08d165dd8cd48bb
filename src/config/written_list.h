#pragma once

#include <optional>
#include <string_view>

#include "titan/config/value.h"

namespace titan::config {

/// The list that a text from `[` to `]` spells as JSON or TOML does: `["The", 'x']`, `[]`. Nothing when
/// it spells none, or one of something else than strings.
std::optional<StringList> read_written_list(std::string_view text);

/// Likewise a list of lists of strings: `[["a", "b"], ["c"]]`, `[]`.
std::optional<StringLists> read_written_lists(std::string_view text);

}  // namespace titan::config
