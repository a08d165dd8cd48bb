#pragma once

#include <span>
#include <string>

#include "titan/plot/axis.h"
#include "titan/plot/run_metrics.h"
#include "titan/plot/svg.h"

namespace titan::plot {

/// A rectangle of the picture, in pixels.
struct Box {
  double left = 0;
  double top = 0;
  double width = 0;
  double height = 0;
};

/// A curve of a panel.
struct PanelCurve {
  std::string name;  // for tooltips: "my_run loss"
  const Curve& curve;
  std::string color;
  bool dashed = false;  // few points, each of which is marked
};

/// A diagram: what it shows and how its vertical axis is chosen.
struct PanelStyle {
  std::string title;
  std::string quantity;        // the label of the vertical axis
  double log_spread = 100;     // see choose_scale
  bool from_zero = false;      // a linear axis includes 0
  std::string along = "step";  // the label of the horizontal axis
};

/// Draws a panel; `steps` is the range of the horizontal axis, the same in all panels.
void draw_panel(SvgWriter& svg, const Box& box, const PanelStyle& style, const Range& steps,
                std::span<const PanelCurve> curves);

}  // namespace titan::plot
