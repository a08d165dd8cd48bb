#include "titan/tools/number_text.h"

#include <cctype>
#include <cmath>
#include <cstdio>

namespace titan::tools {
namespace {

std::string group_by_thousands(std::string text) {
  const std::size_t first = text.starts_with('-') ? 1 : 0;
  std::size_t end = text.find('.');
  if (end == std::string::npos) end = text.size();
  if (std::isdigit(static_cast<unsigned char>(text[first])) == 0) return text;  // nan, inf
  for (std::size_t at = end; at > first + 3;) {
    at -= 3;
    text.insert(at, 1, ',');
  }
  return text;
}

}  // namespace

std::string fixed(double value, int decimals, int width) {
  if (std::isnan(value)) value = std::copysign(value, 1.0);  // C would say "-nan"
  const int size = std::snprintf(nullptr, 0, "%*.*f", width, decimals, value);
  std::string text(static_cast<std::size_t>(size), '\0');
  std::snprintf(text.data(), text.size() + 1, "%*.*f", width, decimals, value);
  return text;
}

std::string with_thousands(std::int64_t value) { return group_by_thousands(std::to_string(value)); }

std::string with_thousands(double value, int decimals) {
  return group_by_thousands(fixed(value, decimals));
}

}  // namespace titan::tools
