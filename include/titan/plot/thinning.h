#pragma once

#include "titan/plot/run_metrics.h"

namespace titan::plot {

/// What can be seen of a curve in `columns` pixel columns between two steps: of each column the
/// first, lowest, highest and last point. At most 4 * columns points, by rising step; a curve with
/// fewer is returned as it is. Linear in the curve.
Curve thinned(const Curve& curve, double first_step, double last_step, int columns);

/// The curve without its noise: the means of at most `columns` stretches, without single spikes,
/// averaged with their neighbours (an eightieth of the curve to each side, fewer at its ends).
Curve smoothed(const Curve& curve, double first_step, double last_step, int columns);

/// Whether smoothing shows something that the curve hides: enough points, which scatter around the
/// smooth curve by more than 0.3% of its height.
bool is_noisy(const Curve& curve, const Curve& smooth);

}  // namespace titan::plot
