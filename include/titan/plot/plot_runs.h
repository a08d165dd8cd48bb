#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "titan/base/file_system.h"

namespace titan::plot {

/// What became of `plot_runs`.
struct PlotResult {
  std::string path;                   // of the picture
  std::vector<std::string> warnings;  // such as damaged lines
};

/// Draws runs, each a folder with a metrics.jsonl or such a file, into `output`, by default
/// `plot.svg` beside the first run's metrics; or one comparison (comparison.h), a file of JSON, by default into a file beside it
/// that ends with `.svg` instead of `.json`. Throws RunError when a run cannot be read or the picture not be written.
PlotResult plot_runs(base::FileSystem& files, std::span<const std::string> runs,
                     const std::optional<std::string>& output);

}  // namespace titan::plot
