#pragma once

#include <span>
#include <string>

#include "titan/plot/run_metrics.h"

namespace titan::plot {

/// An SVG picture of at least one run: loss, gradient norm, learning rate and throughput over the
/// steps, each run in its colour. Noisy curves are drawn pale, with their smooth course on top.
/// Tooltips need no script. Its size does not grow with the length of the runs.
std::string draw_figure(std::span<const RunMetrics> runs);

}  // namespace titan::plot
