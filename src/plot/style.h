#pragma once

#include <array>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

namespace titan::plot {

/// The style sheet of all pictures.
inline constexpr std::string_view kStyle =
    "text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#333}"
    ".head{font-size:20px;font-weight:600;fill:#111}.title{font-size:15px;font-weight:600;fill:#"
    "111}"
    ".value{text-anchor:end}.step,.axis,.none{text-anchor:middle}.axis{fill:#666}.none{fill:#999}"
    ".grid{stroke:#e6e6e6;fill:none}.frame{stroke:#bbb;fill:none}"
    ".line,.raw{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}"
    ".raw{stroke-width:1;stroke-opacity:.3}.dashed{stroke-dasharray:5 4}"
    ".hover circle{fill-opacity:0}.hover circle:hover{fill-opacity:.9}";

/// Of what is drawn in turn. Colours that also colour-blind readers tell apart on white, as far as so many can be.
inline std::string color_of(std::size_t number) {
  constexpr std::array<std::string_view, 10> kColors = {"#1f6fb4", "#d95f02", "#2a9d5c", "#c0307f",
                                                        "#7a5bc0", "#8c564b", "#0e9aa7", "#b8860b",
                                                        "#e0434b", "#5f6b7a"};
  return std::string(kColors[number % kColors.size()]);
}

/// A figure beside a point or a bar.
inline std::string four_digits(double value) {
  std::array<char, 32> text = {};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

}  // namespace titan::plot
