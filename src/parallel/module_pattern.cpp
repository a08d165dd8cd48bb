#include "titan/parallel/module_pattern.h"

namespace titan::parallel {

namespace {

/// The part before the first dot, which is taken off `rest`.
std::string_view next_part(std::string_view& rest) {
  const std::size_t dot = rest.find('.');
  const std::string_view part = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  return part;
}

}  // namespace

bool matches_pattern(std::string_view name, std::string_view pattern) {
  while (!name.empty() && !pattern.empty()) {
    const std::string_view wanted = next_part(pattern);
    const std::string_view part = next_part(name);
    if (wanted != "*" && wanted != part) return false;
  }
  return name.empty() && pattern.empty();
}

std::vector<std::pair<std::string, nn::Module*>> modules_matching(nn::Module& model,
                                                                  std::string_view pattern) {
  std::vector<std::pair<std::string, nn::Module*>> result;
  for (const auto& [name, module] : model.named_modules()) {
    if (matches_pattern(name, pattern)) result.emplace_back(name, module);
  }
  return result;
}

}  // namespace titan::parallel
