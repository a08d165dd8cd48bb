#include "plot/panel.h"

#include <algorithm>

#include "plot/style.h"
#include "titan/base/errors.h"
#include "titan/plot/thinning.h"

namespace titan::plot {
namespace {

constexpr int kMostStepTicks = 8;
constexpr int kMostValueTicks = 7;
constexpr std::size_t kMostTooltips = 240;  // of a panel

/// The part of a curve that a picture can show.
struct VisibleCurve {
  const PanelCurve& source;
  Curve raw;
  Curve smooth;  // empty where it adds nothing
};

class Panel {
 public:
  Panel(SvgWriter& svg, const Box& box, const PanelStyle& style, const Range& steps,
        std::span<const PanelCurve> curves)
      : svg_(svg), box_(box), style_(style), steps_(Scale::kLinear, steps, kMostStepTicks) {
    for (const PanelCurve& curve : curves) {
      if (!curve.curve.empty()) curves_.push_back(visible(curve));
    }
  }

  void draw() {
    svg_.open("g");
    svg_.text({{"class", "title"}, {"x", coordinate(box_.left)}, {"y", coordinate(box_.top - 12)}},
              style_.title);
    if (curves_.empty()) {
      draw_frame();
      svg_.text({{"class", "none"},
                 {"x", coordinate(box_.left + box_.width / 2)},
                 {"y", coordinate(box_.top + box_.height / 2)}},
                "not logged");
    } else {
      const Axis values = value_axis();
      values_ = &values;
      draw_value_ticks();
      draw_step_ticks();
      draw_frame();
      for (const VisibleCurve& curve : curves_) draw_curve(curve);
      for (const VisibleCurve& curve : curves_) draw_tooltips(curve);
      values_ = nullptr;
    }
    svg_.close();
  }

 private:
  VisibleCurve visible(const PanelCurve& curve) const {
    const int columns = static_cast<int>(box_.width);
    const Range& range = steps_.range();
    VisibleCurve result = {curve, thinned(curve.curve, range.low, range.high, columns), {}};
    Curve smooth = smoothed(curve.curve, range.low, range.high, columns / 2);
    if (!curve.dashed && is_noisy(curve.curve, smooth)) result.smooth = std::move(smooth);
    return result;
  }

  Axis value_axis() const {
    std::vector<double> values;
    for (const VisibleCurve& curve : curves_) {
      for (const Point& point : curve.raw) values.push_back(point.value);
    }
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    Range range = {*low, *high};
    const Scale scale = choose_scale(values, style_.log_spread);
    if (scale == Scale::kLinear && style_.from_zero) {
      range = {std::min(range.low, 0.0), std::max(range.high, 0.0)};
    }
    return Axis(scale, range, kMostValueTicks);
  }

  std::string x(double step) const {
    return coordinate(box_.left + steps_.position(step) * box_.width);
  }
  std::string y(double value) const {
    return coordinate(box_.top + (1 - values_->position(value)) * box_.height);
  }

  void draw_frame() {
    svg_.leaf("rect", {{"class", "frame"},
                       {"x", coordinate(box_.left)},
                       {"y", coordinate(box_.top)},
                       {"width", coordinate(box_.width)},
                       {"height", coordinate(box_.height)}});
  }

  void draw_value_ticks() {
    for (const Tick& tick : values_->ticks()) {
      svg_.leaf("path", {{"class", "grid"},
                         {"d", "M" + coordinate(box_.left) + " " + y(tick.value) + "h" +
                                   coordinate(box_.width)}});
      svg_.text({{"class", "value"},
                 {"x", coordinate(box_.left - 8)},
                 {"y", y(tick.value)},
                 {"dy", "0.32em"}},
                tick.label);
    }
    const std::string x = coordinate(box_.left - 60);
    const std::string y = coordinate(box_.top + box_.height / 2);
    svg_.text(
        {{"class", "axis"}, {"x", x}, {"y", y}, {"transform", "rotate(-90 " + x + " " + y + ")"}},
        style_.quantity + (values_->scale() == Scale::kLog ? " (log scale)" : ""));
  }

  void draw_step_ticks() {
    const double bottom = box_.top + box_.height;
    for (const Tick& tick : steps_.ticks()) {
      svg_.leaf("path", {{"class", "grid"},
                         {"d", "M" + x(tick.value) + " " + coordinate(box_.top) + "v" +
                                   coordinate(box_.height)}});
      svg_.text({{"class", "step"}, {"x", x(tick.value)}, {"y", coordinate(bottom + 18)}},
                tick.label);
    }
    svg_.text({{"class", "axis"},
               {"x", coordinate(box_.left + box_.width / 2)},
               {"y", coordinate(bottom + 36)}},
              style_.along);
  }

  void draw_line(const Curve& curve, const std::string& line_class, const std::string& color) {
    std::string path;
    for (const Point& point : curve) {
      path += (path.empty() ? "M" : "L") + x(point.step) + " " + y(point.value);
    }
    svg_.leaf("path", {{"class", line_class}, {"stroke", color}, {"d", path}});
  }

  void draw_curve(const VisibleCurve& curve) {
    const PanelCurve& source = curve.source;
    svg_.open("g");
    svg_.tooltip(source.name);
    if (!curve.smooth.empty()) {
      draw_line(curve.raw, "raw", source.color);
      draw_line(curve.smooth, "line", source.color);
    } else {
      draw_line(curve.raw, source.dashed ? "line dashed" : "line", source.color);
    }
    svg_.close();
  }

  /// Circles that show themselves and their figures under the mouse. Few points are always seen.
  void draw_tooltips(const VisibleCurve& curve) {
    const Curve& points = curve.raw;
    const std::size_t most = std::max<std::size_t>(kMostTooltips / curves_.size(), 2);
    const std::size_t count = std::min(points.size(), most);
    const bool seen = points.size() == 1 || (curve.source.dashed && points.size() <= most);
    svg_.open("g", {{"class", seen ? "dots" : "hover"}, {"fill", curve.source.color}});
    for (std::size_t i = 0; i < count; ++i) {
      const Point& point = points[count == 1 ? 0 : i * (points.size() - 1) / (count - 1)];
      svg_.leaf("circle", {{"cx", x(point.step)}, {"cy", y(point.value)}, {"r", seen ? "3" : "5"}},
                concat(curve.source.name, "\n", style_.along, " ",
                       static_cast<std::int64_t>(point.step), ": ", four_digits(point.value)));
    }
    svg_.close();
  }

  SvgWriter& svg_;
  const Box& box_;
  const PanelStyle& style_;
  Axis steps_;
  const Axis* values_ = nullptr;
  std::vector<VisibleCurve> curves_;
};

}  // namespace

void draw_panel(SvgWriter& svg, const Box& box, const PanelStyle& style, const Range& steps,
                std::span<const PanelCurve> curves) {
  Panel(svg, box, style, steps, curves).draw();
}

}  // namespace titan::plot
