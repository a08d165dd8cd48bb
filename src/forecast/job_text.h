#pragma once

#include <string>

namespace titan::forecast {

struct Forecast;

/// What job a forecast is of: two lines.
std::string job_text(const Forecast& forecast);

}  // namespace titan::forecast
