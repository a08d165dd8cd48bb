#include "titan/schedule/drawing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "titan/base/errors.h"

namespace titan::schedule {

namespace {

std::string fixed(double number, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, number);
  return text.data();
}

/// "F3" of a forward, "F3B1" of an overlap; stages are told apart by their place on the rank: "F3", "F3'", ...
std::string short_text(const Action& whole, const Placement& placement) {
  std::string result;
  for (const Action& action : parts_of(whole)) {
    const std::string name = text(action);
    const auto stages = placement.stages_of(placement.rank_of(action.stage));
    const auto place = std::ranges::find(stages, action.stage) - stages.begin();
    result += name.substr(std::to_string(action.stage).size()) +
              std::string(static_cast<std::size_t>(place), '\'');
  }
  return result;
}

double shortest(const Timeline& timeline) {
  double unit = std::numeric_limits<double>::infinity();
  for (const RankTimeline& rank : timeline.ranks) {
    for (const Interval& interval : rank.intervals) {
      if (interval.end > interval.begin) unit = std::min(unit, interval.end - interval.begin);
    }
  }
  return unit;
}

std::string figures(const Timeline& timeline) {
  return concat("time ", fixed(timeline.makespan, 2), ", bubble ",
                fixed(100 * timeline.bubble(), 1), " %");
}

std::string peaks(const Timeline& timeline) {
  std::string result = "microbatches in flight, at most:";
  for (const RankTimeline& rank : timeline.ranks) result += concat(" ", rank.peak_in_flight);
  return result;
}

}  // namespace

std::string timeline_text(const Timeline& timeline, const Placement& placement) {
  // More columns than this no terminal has; the order is what is left then.
  constexpr double kMostColumns = 4000;
  const double unit = shortest(timeline);
  const bool is_to_scale = timeline.makespan / unit <= kMostColumns;
  std::size_t width = 1;
  for (const RankTimeline& rank : timeline.ranks) {
    for (const Interval& interval : rank.intervals) {
      width = std::max(width, short_text(interval.action, placement).size());
    }
  }
  const auto cell = [&](const std::string& word) {
    return word + std::string(width + 1 - std::min(width + 1, word.size()), ' ');
  };
  std::string result;
  for (std::size_t rank = 0; rank < timeline.ranks.size(); ++rank) {
    std::string line = concat("rank ", rank, rank < 10 ? "   " : "  ");
    double at = 0;
    for (const Interval& interval : timeline.ranks[rank].intervals) {
      if (is_to_scale) {
        for (; at + unit / 2 < interval.begin; at += unit) line += cell(".");
      }
      line += cell(short_text(interval.action, placement));
      for (at += unit; is_to_scale && at + unit / 2 < interval.end; at += unit) line += cell("-");
    }
    while (line.ends_with(' ')) line.pop_back();
    result += line + "\n";
  }
  return result + figures(timeline) + "; " + peaks(timeline) + "\n";
}

namespace {

/// Colours of F, B, I and W, for the first of a rank's stages and the others.
constexpr std::array<std::array<const char*, 2>, 4> kColors = {{{"#4c78a8", "#9ecae9"},
                                                                {"#f58518", "#ffbf79"},
                                                                {"#e45756", "#ff9d98"},
                                                                {"#54a24b", "#a5d99c"}}};
constexpr std::array<const char*, 4> kMeanings = {"forward", "backward", "of inputs", "of weights"};

/// An overlap as its two parts, one above the other.
std::string boxes_of(const Interval& interval, const Placement& placement, double left, double top,
                     double scale, double height) {
  std::string result;
  const std::vector<Action> parts = parts_of(interval.action);
  const double each = height / static_cast<double>(parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Action& action = parts[i];
    const bool is_first =
        placement.stages_of(placement.rank_of(action.stage)).front() == action.stage;
    const double x = left + interval.begin * scale;
    const double width = (interval.end - interval.begin) * scale;
    const double y = top + each * static_cast<double>(i);
    result += concat("<rect x=\"", fixed(x, 2), "\" y=\"", fixed(y, 2), "\" width=\"",
                     fixed(std::max(width, 0.3), 2), "\" height=\"", fixed(each, 2), "\" fill=\"",
                     kColors[static_cast<std::size_t>(action.op)][is_first ? 0 : 1],
                     "\" stroke=\"white\" stroke-width=\"0.5\"><title>", text(action), ": ",
                     fixed(interval.begin, 2), " to ", fixed(interval.end, 2), "</title></rect>\n");
    const std::string number = std::to_string(action.microbatch);
    if (width > 7 * static_cast<double>(number.size()) && each >= 10) {
      result += concat("<text x=\"", fixed(x + width / 2, 2), "\" y=\"", fixed(y + each / 2 + 4, 2),
                       "\" text-anchor=\"middle\" fill=\"", is_first ? "white" : "black", "\">",
                       number, "</text>\n");
    }
  }
  return result;
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    result += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  }
  return result;
}

}  // namespace

std::string timeline_svg(const Timeline& timeline, const Placement& placement,
                         const std::string& title) {
  constexpr double kWidth = 1200, kLeft = 70, kTop = 40, kRow = 30;
  const double scale = (kWidth - kLeft - 10) / std::max(timeline.makespan, 1e-9);
  const double bottom = kTop + kRow * static_cast<double>(timeline.ranks.size());
  std::string svg = concat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", fixed(kWidth, 0), " ",
      fixed(bottom + 50, 0), "\" font-family=\"sans-serif\" font-size=\"12\">\n",
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n", "<text x=\"", fixed(kLeft, 0),
      "\" y=\"24\" font-size=\"16\">", escaped(title), ": ", figures(timeline), "</text>\n");
  for (std::size_t rank = 0; rank < timeline.ranks.size(); ++rank) {
    const double top = kTop + kRow * static_cast<double>(rank);
    svg += concat("<text x=\"8\" y=\"", fixed(top + 18, 0), "\">rank ", rank, "</text>\n",
                  "<rect x=\"", fixed(kLeft, 0), "\" y=\"", fixed(top, 0), "\" width=\"",
                  fixed(kWidth - kLeft - 10, 0), "\" height=\"", fixed(kRow - 4, 0),
                  "\" fill=\"#f0f0f0\"/>\n");
    for (const Interval& interval : timeline.ranks[rank].intervals) {
      svg += boxes_of(interval, placement, kLeft, top, scale, kRow - 4);
    }
  }
  for (std::size_t i = 0; i < kMeanings.size(); ++i) {
    const double x = kLeft + 140 * static_cast<double>(i);
    svg += concat("<rect x=\"", fixed(x, 0), "\" y=\"", fixed(bottom + 14, 0),
                  "\" width=\"12\" height=\"12\" fill=\"", kColors[i][0], "\"/><text x=\"",
                  fixed(x + 18, 0), "\" y=\"", fixed(bottom + 24, 0), "\">", kMeanings[i],
                  "</text>\n");
  }
  return svg + concat("<text x=\"", fixed(kLeft + 600, 0), "\" y=\"", fixed(bottom + 24, 0), "\">",
                      peaks(timeline), "</text>\n</svg>\n");
}

std::string timeline_trace(const Timeline& timeline, double unit_us) {
  std::string events;
  for (std::size_t rank = 0; rank < timeline.ranks.size(); ++rank) {
    events += concat(events.empty() ? "" : ",\n", R"({"ph":"M","name":"process_name","pid":)", rank,
                     R"(,"tid":0,"args":{"name":"rank )", rank, "\"}}");
    for (const Interval& interval : timeline.ranks[rank].intervals) {
      events += concat(",\n", R"({"ph":"X","name":")", text(interval.action), R"(","pid":)", rank,
                       R"(,"tid":0,"ts":)", fixed(interval.begin * unit_us, 3), R"(,"dur":)",
                       fixed((interval.end - interval.begin) * unit_us, 3), "}");
    }
  }
  return "{\"traceEvents\":[\n" + events + "\n]}\n";
}

}  // namespace titan::schedule
