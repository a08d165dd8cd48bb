#include "titan/plot/trade_figure.h"

#include <algorithm>

#include "plot/panel.h"
#include "plot/style.h"
#include "titan/base/errors.h"

namespace titan::plot {
namespace {

constexpr int kWidth = 640;
constexpr int kHeight = 400;
constexpr Box kBox = {80, 60, 510, 270};
constexpr double kMiB = 1024.0 * 1024.0;
constexpr double kMs = 1e-3;

}  // namespace

std::string draw_trade(const TradeCurve& curve) {
  TITAN_CHECK(!curve.points.empty(), "a trade without a point");
  Curve points;
  for (const Point& point : curve.points) {
    const Point shown = {point.step / kMiB, point.value / kMs};
    if (points.empty() || shown.step > points.back().step) points.push_back(shown);
  }
  const auto chosen = std::ranges::find_if(
      points, [&](const Point& point) { return point.step >= curve.chosen / kMiB; });
  const Curve choice = {
      {curve.chosen / kMiB, (chosen == points.end() ? points.back() : *chosen).value}};
  const std::vector<PanelCurve> curves = {{"Least time", points, color_of(0)},
                                          {"Chosen", choice, color_of(1), true}};
  const PanelStyle style = {curve.title, "estimated ms computed again", 1e9, true, "MiB kept"};
  SvgWriter svg(kWidth, kHeight, kStyle);
  draw_panel(svg, kBox, style, {0, std::max(points.back().step, choice.front().step)}, curves);
  return svg.finish();
}

}  // namespace titan::plot
