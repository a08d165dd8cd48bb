#include "titan/plot/thinning.h"

#include <algorithm>
#include <cmath>

#include "titan/base/errors.h"

namespace titan::plot {
namespace {

constexpr std::size_t kFewestForNoise = 30;

/// Calls `use` with each non-empty stretch of the curve that shares a column.
template <class Use>
void for_each_column(const Curve& curve, double first_step, double last_step, int columns,
                     const Use& use) {
  TITAN_CHECK(columns > 0 && first_step <= last_step, "no columns");
  const double width = std::max(last_step - first_step, 1.0) / columns;
  const auto column = [&](const Point& point) {
    return std::clamp(static_cast<int>((point.step - first_step) / width), 0, columns - 1);
  };
  for (auto begin = curve.begin(); begin != curve.end();) {
    auto end = begin;
    while (end != curve.end() && column(*end) == column(*begin)) ++end;
    use(begin, end);
    begin = end;
  }
}

Point mean(Curve::const_iterator begin, Curve::const_iterator end) {
  const auto count = static_cast<double>(end - begin);
  Point sum;
  for (auto point = begin; point != end; ++point) {
    sum.step += point->step / count;
    sum.value += point->value / count;
  }
  return sum;
}

/// Each value becomes what `combine` makes of it and its neighbours, as many on both sides, so that
/// a slope stays where it is.
template <class Combine>
Curve combined_with_neighbours(const Curve& curve, const Combine& combine) {
  const auto size = static_cast<std::ptrdiff_t>(curve.size());
  const std::ptrdiff_t reach = std::max<std::ptrdiff_t>(size / 80, 1);
  Curve result;
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const std::ptrdiff_t side = std::min({reach, i, size - 1 - i});
    const auto middle = curve.begin() + i;
    result.push_back({middle->step, combine(middle - side, middle + side + 1)});
  }
  return result;
}

double median(Curve::const_iterator begin, Curve::const_iterator end) {
  std::vector<double> values;
  for (auto point = begin; point != end; ++point) values.push_back(point->value);
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

Curve thinned(const Curve& curve, double first_step, double last_step, int columns) {
  if (curve.size() <= 4 * static_cast<std::size_t>(columns)) return curve;
  Curve result;
  for_each_column(curve, first_step, last_step, columns, [&](auto begin, auto end) {
    const auto by_value = [](const Point& a, const Point& b) { return a.value < b.value; };
    auto [low, high] = std::minmax_element(begin, end, by_value);
    if (high < low) std::swap(low, high);
    for (const auto point : {begin, low, high, end - 1}) {
      if (result.empty() || point->step > result.back().step) result.push_back(*point);
    }
  });
  return result;
}

Curve smoothed(const Curve& curve, double first_step, double last_step, int columns) {
  Curve means;
  for_each_column(curve, first_step, last_step, columns,
                  [&](auto begin, auto end) { means.push_back(mean(begin, end)); });
  const Curve without_spikes = combined_with_neighbours(means, median);
  return combined_with_neighbours(without_spikes,
                                  [](auto begin, auto end) { return mean(begin, end).value; });
}

bool is_noisy(const Curve& curve, const Curve& smooth) {
  if (curve.size() < kFewestForNoise || smooth.size() < 2) return false;
  const auto by_value = [](const Point& a, const Point& b) { return a.value < b.value; };
  const auto [low, high] = std::minmax_element(smooth.begin(), smooth.end(), by_value);
  double scatter = 0;
  auto next = smooth.begin() + 1;
  for (const Point& point : curve) {
    while (next + 1 != smooth.end() && next->step < point.step) ++next;
    const Point& left = *(next - 1);
    const double share = std::clamp((point.step - left.step) / (next->step - left.step), 0.0, 1.0);
    const double expected = left.value + share * (next->value - left.value);
    scatter += std::abs(point.value - expected) / static_cast<double>(curve.size());
  }
  return scatter > 0.003 * (high->value - low->value);
}

}  // namespace titan::plot
