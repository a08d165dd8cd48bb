#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace titan::tools {

using Row = std::vector<std::string>;

/// Columns as wide as their widest cell: the first `left` of them flush left, the others right. All rows have as many
/// cells as the first.
std::string aligned(const std::vector<Row>& rows, std::size_t left);

/// "12.34 GiB", in the largest unit that leaves something before the point.
std::string bytes_text(std::int64_t bytes);

}  // namespace titan::tools
