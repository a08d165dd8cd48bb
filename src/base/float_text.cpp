#include "titan/base/float_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "titan/base/errors.h"

namespace titan::base {

std::string shortest(double value) {
  if (std::isnan(value)) {
    return "nan";
  }
  if (std::isinf(value)) {
    return value < 0 ? "-inf" : "inf";
  }
  std::array<char, 32> buffer;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                          std::chars_format::scientific);
  TITAN_CHECK(error == std::errc(), "no room for a double");
  const std::string_view scientific(buffer.data(), end - buffer.data());
  const std::size_t e = scientific.find('e');
  int exponent = 0;
  std::from_chars(scientific.data() + e + (scientific[e + 1] == '+' ? 2 : 1), end, exponent);
  if (exponent < -4 || exponent >= 16) {
    return std::string(scientific);
  }
  // Lay the digits "d.ddd" out around the point.
  std::string text(value < 0 || (value == 0 && std::signbit(value)) ? "-" : "");
  std::string digits;
  for (const char c : scientific.substr(0, e)) {
    if (c != '-' && c != '.') {
      digits += c;
    }
  }
  if (exponent < 0) {
    return text + "0." + std::string(-exponent - 1, '0') + digits;
  }
  const std::size_t whole = exponent + 1;
  if (digits.size() <= whole) {
    return text + digits + std::string(whole - digits.size(), '0') + ".0";
  }
  return text + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string json_number(double value) { return std::isfinite(value) ? shortest(value) : "null"; }

}  // namespace titan::base
