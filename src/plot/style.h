#pragma once

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

}  // namespace titan::plot
