#include <algorithm>
#include <cmath>

#include "plot/panel.h"
#include "plot/style.h"
#include "titan/base/errors.h"
#include "titan/plot/axis.h"
#include "titan/plot/comparison.h"

namespace titan::plot {
namespace {

constexpr int kWidth = 1240;
constexpr double kMargin = 40;
constexpr double kLegendTop = 34;
constexpr double kLegendPitch = 290;
constexpr double kPanelsTop = 80;
constexpr double kTitleHeight = 34;
constexpr double kPanelGap = 50;  // below a panel, with the axis' numbers
constexpr double kBarsLeft = 330;
constexpr double kBarsWidth = 560;
constexpr double kRow = 20;
constexpr double kBar = 14;
constexpr double kJobGap = 10;

/// Of the first program that ours is compared with: the figures that bars are measured by.
double unit_of(const ComparedJob& job) { return job.programs.at(1).figure.median; }

double length_of(const ComparedJob& job, const ProgramFigure& program) {
  const double unit = unit_of(job);
  return unit > 0 ? std::max(program.figure.median / unit, 0.0) : 0.0;
}

double job_height(const ComparedJob& job) {
  return static_cast<double>(job.programs.size()) * kRow + kJobGap;
}

double bars_height(const ComparedFigure& figure) {
  double height = 0;
  for (const ComparedJob& job : figure.jobs) height += job_height(job);
  return height;
}

/// Without an exponent.
std::string figure_text(double value) {
  return std::abs(value) < 1e4 || std::abs(value) > 1e15 ? four_digits(value)
                                                         : std::to_string(std::llround(value));
}

std::string range_text(const Spread& spread) {
  return concat(figure_text(spread.median), " (", figure_text(spread.least), " to ",
                figure_text(spread.most), ")");
}

/// "8120 (8010 to 8230)", and of one that is compared with what the first has beside it.
std::string text_of(const ProgramFigure& program, const std::string& first) {
  const std::string ratio =
      program.ratio ? concat("; ", first, ": ", range_text(*program.ratio), " times that") : "";
  return range_text(program.figure) + ratio;
}

class ComparisonPanel {
 public:
  ComparisonPanel(SvgWriter& svg, const ComparedFigure& figure, double top)
      : svg_(svg), figure_(figure), top_(top + kTitleHeight), axis_(axis_of(figure)) {}

  void draw() {
    const ComparedJob& first = figure_.jobs.front();
    svg_.text({{"class", "title"}, {"x", coordinate(kMargin)}, {"y", coordinate(top_ - 14)}},
              concat(figure_.name, ", times that of ", first.programs.at(1).program));
    draw_grid();
    double y = top_;
    for (const ComparedJob& job : figure_.jobs) {
      draw_job(job, y);
      y += job_height(job);
    }
  }

 private:
  static Axis axis_of(const ComparedFigure& figure) {
    double longest = 1;
    for (const ComparedJob& job : figure.jobs) {
      for (const ProgramFigure& program : job.programs) {
        longest = std::max(longest, length_of(job, program));
      }
    }
    return Axis(Scale::kLinear, {0, longest}, 8);
  }

  double x(double value) const { return kBarsLeft + axis_.position(value) * kBarsWidth; }

  void draw_grid() {
    const double height = bars_height(figure_);
    for (const Tick& tick : axis_.ticks()) {
      svg_.leaf("path", {{"class", "grid"},
                         {"d", "M" + coordinate(x(tick.value)) + " " + coordinate(top_) + "v" +
                                   coordinate(height)}});
      svg_.text({{"class", "axis"},
                 {"x", coordinate(x(tick.value))},
                 {"y", coordinate(top_ + height + 16)}},
                tick.label);
    }
  }

  void draw_job(const ComparedJob& job, double y) {
    svg_.text({{"class", "value"},
               {"x", coordinate(kBarsLeft - 12)},
               {"y", coordinate(y + kRow / 2)},
               {"dy", "0.32em"}},
              job.name);
    for (std::size_t i = 0; i < job.programs.size(); ++i, y += kRow) {
      const ProgramFigure& program = job.programs[i];
      const double end = x(length_of(job, program));
      const std::string text = text_of(program, job.programs.front().program);
      svg_.leaf("rect",
                {{"x", coordinate(kBarsLeft)},
                 {"y", coordinate(y + (kRow - kBar) / 2)},
                 {"width", coordinate(end - kBarsLeft)},
                 {"height", coordinate(kBar)},
                 {"fill", color_of(i)}},
                concat(job.name, "\n", program.program, ": ", text));
      svg_.text({{"x", coordinate(end + 8)}, {"y", coordinate(y + kRow / 2)}, {"dy", "0.32em"}},
                program.ratio ? concat(figure_text(program.figure.median), "; ratio ",
                                       range_text(*program.ratio))
                              : figure_text(program.figure.median));
    }
  }

  SvgWriter& svg_;
  const ComparedFigure& figure_;
  double top_;
  Axis axis_;
};

void draw_legend(SvgWriter& svg, const ComparedJob& job) {
  for (std::size_t i = 0; i < job.programs.size(); ++i) {
    const double x = kMargin + static_cast<double>(i) * kLegendPitch;
    svg.leaf("rect", {{"x", coordinate(x)},
                      {"y", coordinate(kLegendTop - kBar / 2)},
                      {"width", "26"},
                      {"height", coordinate(kBar)},
                      {"fill", color_of(i)}});
    svg.text({{"x", coordinate(x + 34)}, {"y", coordinate(kLegendTop)}, {"dy", "0.32em"}},
             job.programs[i].program);
  }
}

}  // namespace

std::string draw_comparison(std::span<const ComparedFigure> figures) {
  TITAN_CHECK(!figures.empty() && !figures.front().jobs.empty(), "a comparison of nothing");
  double height = kPanelsTop;
  for (const ComparedFigure& figure : figures) {
    height += kTitleHeight + bars_height(figure) + kPanelGap;
  }
  SvgWriter svg(kWidth, static_cast<int>(height), kStyle);
  draw_legend(svg, figures.front().jobs.front());
  double top = kPanelsTop;
  for (const ComparedFigure& figure : figures) {
    ComparisonPanel(svg, figure, top).draw();
    top += kTitleHeight + bars_height(figure) + kPanelGap;
  }
  return svg.finish();
}

}  // namespace titan::plot
