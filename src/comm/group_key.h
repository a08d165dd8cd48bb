#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace titan::comm {

/// "0, 4, 8".
std::string joined(const std::vector<std::int64_t>& ranks);

/// Short text for keys in a store, of its own for every name and list of ranks.
std::string group_id(const std::string& name, const std::vector<std::int64_t>& ranks);

}  // namespace titan::comm
