#include "components/weights/name_list.h"

#include <ranges>

#include "titan/base/errors.h"

namespace titan::components {

std::string list_names(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 12;
  std::string text = joined(std::views::take(names, kShown));
  if (names.size() > kShown) text += " and " + std::to_string(names.size() - kShown) + " more";
  return text;
}

}  // namespace titan::components
