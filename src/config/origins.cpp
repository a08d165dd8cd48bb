#include "titan/config/origins.h"

#include "titan/base/errors.h"
#include "titan/config/options.h"

namespace titan::config {

const std::string& Origins::of(std::string_view option) const {
  static const std::string kDefault = "default";
  TITAN_CHECK(find_option(option) != nullptr, "no option ", option);
  const auto found = given_.find(option);
  return found == given_.end() ? kDefault : found->second;
}

bool Origins::is_default(std::string_view option) const { return of(option) == "default"; }

void Origins::set(const std::string& option, std::string origin) {
  given_.insert_or_assign(option, std::move(origin));
}

}  // namespace titan::config
