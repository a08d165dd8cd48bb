#pragma once

#include <cstdint>
#include <string>

namespace titan::tools {

/// Python's f"{value:{width}.{decimals}f}".
std::string fixed(double value, int decimals, int width = 0);

/// Python's f"{value:,}": "1,234,567".
std::string with_thousands(std::int64_t value);

/// Python's f"{value:,.{decimals}f}": "1,234.57". With 0 decimals, halves round to even.
std::string with_thousands(double value, int decimals);

}  // namespace titan::tools
