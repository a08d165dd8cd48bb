#include "comm/group_key.h"

#include "titan/base/sha256.h"

namespace titan::comm {

std::string joined(const std::vector<std::int64_t>& ranks) {
  std::string text;
  for (const std::int64_t rank : ranks) text += (text.empty() ? "" : ", ") + std::to_string(rank);
  return text;
}

std::string group_id(const std::string& name, const std::vector<std::int64_t>& ranks) {
  return base::sha256_hex(name + ": " + joined(ranks)).substr(0, 24);
}

}  // namespace titan::comm
