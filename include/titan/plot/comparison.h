#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "titan/base/file_system.h"

namespace titan::plot {

/// What several measurements of one thing gave.
struct Spread {
  double median = 0;
  double least = 0;
  double most = 0;
};

/// A program's figure, and how many times that of it the first program has.
struct ProgramFigure {
  std::string program;
  Spread figure;
  std::optional<Spread> ratio;  // none: the first program itself
};

/// A job as all programs have done it: the first one, ours, and those that it is compared with.
struct ComparedJob {
  std::string name;  // "debug, one, fp32, 2 threads"
  std::vector<ProgramFigure> programs;
};

/// What was measured ("tokens/s"), job by job.
struct ComparedFigure {
  std::string name;
  std::vector<ComparedJob> jobs;
};

/// Reads what `tests/bench/side_by_side.py --json` writes. Throws RunError where that is something else.
std::vector<ComparedFigure> read_comparison(base::FileSystem& files, const std::string& path);

/// An SVG picture with bars for every job and program, one panel for each figure. Bars are as long as a program's figure is beside
/// that of the first one that ours is compared with, so that jobs of any size can be seen.
std::string draw_comparison(std::span<const ComparedFigure> figures);

}  // namespace titan::plot
