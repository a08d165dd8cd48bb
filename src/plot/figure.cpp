#include "titan/plot/figure.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "plot/panel.h"
#include "plot/style.h"
#include "titan/base/errors.h"

namespace titan::plot {
namespace {

constexpr int kWidth = 1240;
constexpr double kMargin = 40;
constexpr double kPanelWidth = 510;
constexpr double kPanelHeight = 250;
constexpr double kPanelPitchX = 600;
constexpr double kPanelPitchY = 350;
constexpr double kLabelSpace = 80;  // left of a panel
constexpr double kLegendTop = 64;
constexpr double kLegendRow = 24;
constexpr double kLegendPitch = 580;  // two entries in a row
constexpr std::size_t kLongestName = 44;

/// At most kLongestName bytes, not cut inside a UTF-8 character.
std::string shortened(const std::string& name) {
  if (name.size() <= kLongestName) return name;
  std::size_t end = kLongestName - 1;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xc0) == 0x80) --end;
  return name.substr(0, end) + "\u2026";
}

std::string last_value(const char* format, const Curve& curve) {
  if (curve.empty()) return {};
  std::array<char, 64> text = {};
  std::snprintf(text.data(), text.size(), format, curve.back().value);
  return text.data();
}

std::string legend_text(const RunMetrics& run) {
  return shortened(run.name) + last_value(" \u00b7 loss %.4g", run.loss) +
         last_value(" \u00b7 validation %.4g", run.validation_loss);
}

void draw_legend_entry(SvgWriter& svg, const RunMetrics& run, std::size_t index) {
  const double x = kMargin + static_cast<double>(index % 2) * kLegendPitch;
  const double y = kLegendTop + static_cast<double>(index / 2) * kLegendRow;
  svg.open("g");
  svg.tooltip(run.damaged_lines == 0
                  ? run.name
                  : concat(run.name, "\ndamaged lines left out: ", run.damaged_lines));
  svg.leaf("path", {{"class", "line"},
                    {"stroke", color_of(index)},
                    {"d", "M" + coordinate(x) + " " + coordinate(y) + "h26"}});
  svg.text({{"x", coordinate(x + 34)}, {"y", coordinate(y)}, {"dy", "0.32em"}}, legend_text(run));
  svg.close();
}

/// The steps that any curve of any run has.
Range all_steps(std::span<const RunMetrics> runs) {
  Range steps = {1e300, 0};
  for (const RunMetrics& run : runs) {
    for (const Curve* curve :
         {&run.loss, &run.validation_loss, &run.grad_norm, &run.lr, &run.tps}) {
      if (curve->empty()) continue;
      steps.low = std::min(steps.low, curve->front().step);
      steps.high = std::max(steps.high, curve->back().step);
    }
  }
  TITAN_CHECK(steps.low <= steps.high, "runs without a point");
  return steps;
}

using CurveOf = Curve RunMetrics::*;

void add_curves(std::vector<PanelCurve>& curves, std::span<const RunMetrics> runs, CurveOf curve,
                const std::string& what, bool dashed) {
  for (std::size_t i = 0; i < runs.size(); ++i) {
    curves.push_back({shortened(runs[i].name) + " " + what, runs[i].*curve, color_of(i), dashed});
  }
}

struct FigurePanel {
  PanelStyle style;
  CurveOf curve;
};

}  // namespace

std::string draw_figure(std::span<const RunMetrics> runs) {
  TITAN_CHECK(!runs.empty(), "a figure of no run");
  const auto legend_rows = static_cast<double>((runs.size() + 1) / 2);
  const double top = kLegendTop + legend_rows * kLegendRow + 40;
  SvgWriter svg(kWidth, static_cast<int>(top + 2 * kPanelPitchY - 20), kStyle);
  svg.text({{"class", "head"}, {"x", coordinate(kMargin)}, {"y", "34"}},
           runs.size() == 1 ? shortened(runs[0].name) : concat(runs.size(), " runs"));
  for (std::size_t i = 0; i < runs.size(); ++i) draw_legend_entry(svg, runs[i], i);

  const std::array<FigurePanel, 4> panels = {{
      {{"Loss", "loss"}, &RunMetrics::loss},
      {{"Gradient norm", "norm", 20}, &RunMetrics::grad_norm},
      {{"Learning rate", "learning rate", 1e4, true}, &RunMetrics::lr},
      {{"Throughput", "tokens per second and device", 1e4, true}, &RunMetrics::tps},
  }};
  const Range steps = all_steps(runs);
  for (std::size_t i = 0; i < panels.size(); ++i) {
    PanelStyle style = panels[i].style;
    std::vector<PanelCurve> curves;
    add_curves(curves, runs, panels[i].curve, style.title, false);
    const auto has_validation = [](const RunMetrics& run) { return !run.validation_loss.empty(); };
    if (panels[i].curve == &RunMetrics::loss && std::ranges::any_of(runs, has_validation)) {
      style.title += " (dashed: validation)";
      add_curves(curves, runs, &RunMetrics::validation_loss, "Validation loss", true);
    }
    const Box box = {kLabelSpace + static_cast<double>(i % 2) * kPanelPitchX,
                     top + static_cast<double>(i / 2) * kPanelPitchY, kPanelWidth, kPanelHeight};
    draw_panel(svg, box, style, steps, curves);
  }
  return svg.finish();
}

}  // namespace titan::plot
