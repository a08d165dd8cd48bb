#pragma once

#include <string>
#include <vector>

#include "titan/plot/run_metrics.h"

namespace titan::plot {

/// What memory buys in time: one point per budget, `step` the bytes kept, `value` the seconds computed again.
struct TradeCurve {
  std::string title;
  Curve points;       // by rising bytes
  double chosen = 0;  // bytes
};

/// An SVG picture of the curve, with the choice marked.
std::string draw_trade(const TradeCurve& curve);

}  // namespace titan::plot
