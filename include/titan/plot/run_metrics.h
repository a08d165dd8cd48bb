#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/file_system.h"

namespace titan::plot {

/// A logged figure. `step` is a whole number; `value` is finite and at most 1e30 in size.
struct Point {
  double step = 0;
  double value = 0;
};

/// Points by rising step.
using Curve = std::vector<Point>;

/// What metrics.jsonl says of a run.
struct RunMetrics {
  std::string name;
  Curve loss;
  Curve validation_loss;
  Curve grad_norm;
  Curve lr;
  Curve tps;
  std::int64_t damaged_lines = 0;  // no JSON object with a step, as a kill leaves behind
};

/// Reads a metrics.jsonl, or the one in a folder. Figures that are no numbers (a diverged loss is
/// `null`) are left out. Where a resumed run logs steps again, its figures replace those of before.
/// Throws RunError when there is no such file or nothing in it.
RunMetrics read_run_metrics(base::FileSystem& files, const std::string& path);

/// The metrics.jsonl that `path` stands for: itself, or the one in that folder.
std::string metrics_file(base::FileSystem& files, const std::string& path);

}  // namespace titan::plot
